"""One round of annotation with a MONAI Label server: submit a label, take the next study, have it segmented.

    python docs/how-to/annotation_loop.py STUDY LABEL_MAP liver=1 spleen=4

Writes the answer for the next study and prints the command of the next round, to be given once the answer was
corrected. Belongs into MONAI Label's environment, whose client it takes.
"""

import argparse
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from monailabel.client import MONAILabelClient


def main() -> None:
    """Submit, next, run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="id of the study on which the label map was drawn")
    parser.add_argument("label_map", type=Path)
    parser.add_argument("organs", nargs="+", metavar="NAME=VALUE", help="what the values of the label map are")
    parser.add_argument("--model", default="adnet")
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    organs = [part.rpartition("=") for part in options.organs]
    if not options.label_map.is_file() or not all(name and value.isdecimal() for name, _, value in organs):
        parser.error("give an existing label map, and organs such as liver=1")
    label_info = [{"name": name, "idx": int(value)} for name, _, value in organs]

    with tempfile.TemporaryDirectory() as folder:
        client = MONAILabelClient(options.server, folder)
        client.save_label(options.study, str(options.label_map), "final", {"label_info": label_info})
        study = client.next_sample("first", {}).get("id")
        if study is None:
            print("every study has a label")
            return
        answer = Path(f"{study}_organs.nii.gz")
        if answer.exists():
            sys.exit(f"{answer} is there already; submit it, or move it away")
        file, said = client.infer(options.model, study, {"result_extension": ".nii.gz"})
        shutil.move(file, answer)
    found = [f"{name}={value}" for name, value in said["organs"].items()]
    more = [f"--model={options.model}", f"--server={options.server}"]
    print(f"{answer} was made from the label of {', '.join(said['support'])}; correct it, then:")
    print("python", shlex.join([sys.argv[0], study, str(answer), *found, *more]))


if __name__ == "__main__":
    main()
