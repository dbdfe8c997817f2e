#!/usr/bin/env bash
# A virtual environment with MONAI Label and nothing of this project: environment.sh [FOLDER], default .venv-monai-label.
#
# MONAI Label 0.8.5 asks for packages that do not go together with numpy 2 or a CPU build of torch (pydicom-seg and
# numpymaxflow want numpy 1, sam2 compiles against CUDA), so it is installed without its dependencies and the rest is
# listed here. Its monaibundle app uses neither numpymaxflow nor sam2, and of torchvision only two names, never called.
# dcmqi is the program that MONAI Label would download to write DICOM-SEG.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="${1:-$here/../../.venv-monai-label}"
python="${PYTHON:-python3.11}"
stamp="$folder/.installed"

cat "$here/environment.sh" "$here/constraints.txt" 2> /dev/null | cmp --silent - "$stamp" && exit 0

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then
    echo "MONAI Label 0.8.5 needs Python 3.11, and $python is not: install it, or name it in the variable PYTHON" >&2
    exit 3
fi
rm -rf "$folder"
"$python" -m venv "$folder"
install() { "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$here/constraints.txt" "$@"; }
install torch # first, so that nothing below chooses another build
install \
    "monai[fire,ignite,itk,nibabel,pillow,psutil,skimage,tensorboard,tqdm]" matplotlib numba pyyaml tabulate `# what bundles need` \
    bcrypt cachetools dicomweb-client einops expiring_dict expiringdict fastapi filelock girder-client google-auth httpx \
    dcmqi jsonschema ninja passlib pydantic pydantic-settings pydicom pyjwt pynetdicom pynrrd python-dotenv python-multipart \
    requests requests-toolbelt schedule scikit-learn scipy shapely simpleitk timeloop urllib3 uvicorn watchdog
install --no-deps monailabel pydicom-seg
torchvision="$("$folder/bin/python" -c 'import site; print(site.getsitepackages()[0])')/torchvision"
mkdir "$torchvision"
touch "$torchvision/__init__.py"
cat > "$torchvision/utils.py" << 'END'
"""Stand-in: MONAI Label imports these names and the monaibundle app never calls them."""


def make_grid(*arguments, **options):
    raise NotImplementedError("torchvision is not installed here")


save_image = make_grid
END
"$folder/bin/python" -W ignore -c 'import monailabel.main, monailabel.datastore.dicom' > /dev/null
cat "$here/environment.sh" "$here/constraints.txt" > "$stamp"
