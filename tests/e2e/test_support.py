"""Nothing of the support is lost: thin slices, any storage, wide fields, slice numbers; the answer stays the same."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.ndimage import map_coordinates

from common.configuration.workflow import bundle_workflow
from common.data import make_phantom
from common.errors import guard
from tests.e2e.tiny import SMALL, save, scan

DISTANCES = (7.7, 3.0, 1.5, 1.0)  # mm between slices
STORED = {"axial": "LAS", "coronal": "RSA", "sagittal": "PSR"}
# ALPNet compares with background prototypes too, so that a network without training has an answer.
NETWORK = {"encoder_depth": 18, "encoder_stages": 2, "device": "cpu"}


@pytest.fixture
def segment(bundle_root, tmp_path, own_scripts):
    """Give ``segment(bundle, name, **settings)``: the answer as an image; the network has fixed weights."""

    def run(bundle, name, **settings):
        weights = tmp_path / f"{bundle}.pt"
        workflow = bundle_workflow(
            bundle_root(bundle),
            ["inference"],
            "infer",
            **{"checkpoint": str(weights), "output_dir": str(tmp_path / name), **settings},
        )
        if not weights.is_file():
            torch.manual_seed(0)
            torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), weights)
        guard(workflow.run)
        (answer,) = (tmp_path / name).glob("*_seg.nii.gz")
        return nib.load(answer)

    return run


def through_plane(image, plane, distance):
    """Slices at another distance, one of them exactly the plane; axes stay."""
    array, affine = np.asarray(image.dataobj, np.float32), image.affine.copy()
    step = np.linalg.norm(affine[:3, 2])
    ends = (plane + 0.5, array.shape[2] - 0.5 - plane)  # the same part of the body: whole slices, not their centres
    before, after = (round(n * step / distance - 0.5) for n in ends)
    places = plane + np.arange(-before, after + 1) * distance / step
    x, y = np.arange(array.shape[0]), np.arange(array.shape[1])
    thin = map_coordinates(array, np.meshgrid(x, y, places, indexing="ij"), order=1, mode="nearest")
    affine[:3, 3] += affine[:3, 2] * places[0]
    affine[:3, 2] *= distance / step
    return thin, affine, before


def stored_as(array, affine, codes):
    image = nib.Nifti1Image(array, affine)
    return image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(codes)))


def one_slice_support(folder, image, label, plane, distance, codes):
    """Scan at a slice distance, stored in some order, with one drawn slice of it."""
    thin, affine, index = through_plane(image, plane, distance)
    drawn = np.zeros(thin.shape, np.uint8)
    drawn[:, :, index] = np.asarray(label.dataobj)[:, :, plane]
    names = {"image": folder / f"{distance}_{codes}.nii.gz", "label": folder / f"{distance}_{codes}_drawn.nii.gz"}
    for name, array in (("image", thin), ("label", drawn)):
        nib.save(stored_as(array, affine, codes), names[name])
    return {"support_image": str(names["image"]), "support_label": str(names["label"])}


def least_dice(one, other):
    organs = sorted(set(np.unique(one)) - {0})
    masks = [torch.as_tensor(np.stack([array == organ for organ in organs]))[None] for array in (one, other)]
    return float(compute_dice(masks[0].float(), masks[1].float(), ignore_empty=False).min())


def compare_distances(segment, tmp_path, support, query, plane, bundle="ssl_alpnet", combinations=None, **settings):
    """Least Dice over the organs between the answer of the first support and those of all others."""
    image, label = (nib.load(path) for path in support)
    answers = {}
    for storage, distance in combinations or [(s, d) for s in STORED for d in DISTANCES]:
        files = one_slice_support(tmp_path, image, label, plane, distance, STORED[storage])
        name = f"{storage}_{distance}"
        answers[name] = np.asarray(segment(bundle, name, image=query, **files, **settings).dataobj)
    first, *others = answers
    organs = set(np.unique(np.asarray(label.dataobj)[:, :, plane])) - {0}
    assert set(np.unique(answers[first])) - {0} == organs
    return {name: least_dice(answers[first], answers[name]) for name in others}


def test_one_drawn_slice_of_the_phantom_gives_one_answer(segment, tmp_path):
    folder = make_phantom()
    support = [str(folder / f"{kind}Tr/phantom_01.nii.gz") for kind in ("images", "labels")]
    combinations = [("axial", 7.7), ("axial", 1.0), ("coronal", 3.0), ("sagittal", 1.5)]
    query = str(folder / "imagesTr/phantom_02.nii.gz")
    settings = {**NETWORK, "spacing": [3.0, 3.0, 7.7], "image_size": 120}
    dice = compare_distances(segment, tmp_path, support, query, 10, combinations=combinations, **settings)
    assert min(dice.values()) > 0.98, dice


@pytest.mark.slow
@pytest.mark.real_data
def test_one_drawn_slice_of_a_real_scan_gives_one_answer(segment, tmp_path, real_data):
    folder = real_data / "chaos_t2"
    support = [str(folder / f"{kind}Tr/chaos_08.nii.gz") for kind in ("images", "labels")]
    query = str(folder / "imagesTr/chaos_01.nii.gz")
    settings = {**NETWORK, "spacing": [1.25, 1.25, 7.7]}
    dice = compare_distances(segment, tmp_path, support, query, 17, **settings)
    assert min(dice.values()) > 0.98, dice
    print(json.dumps(dice))


def thin_scan(tmp_path, *organs):
    """Slices of 1.5 mm; each organ is drawn on one of them."""
    image, label = scan(1, (64, 60, 40))
    drawn = np.zeros_like(label)
    for value, index in organs:
        drawn[:, :, index][label[:, :, 20] == value] = value
    affine = np.diag([-2.0, 2.0, 1.5, 1.0])
    return save(tmp_path / "thin.nii.gz", image, affine), save(tmp_path / "drawn.nii.gz", drawn, affine)


@pytest.mark.parametrize("bundle", sorted(SMALL))
def test_organs_on_neighbouring_thin_slices_are_both_found(segment, tmp_path, bundle):
    image, label = thin_scan(tmp_path, (1, 19), (4, 20))
    settings = {**SMALL[bundle], "spacing": [2.0, 2.0, 7.7], "device": "cpu"}
    if bundle == "adnet":
        settings["threshold"] = 20.0  # everything is alike enough
    answer = segment(bundle, "out", image=image, support_image=image, support_label=label, **settings)
    assert answer.shape == (64, 60, 40)
    assert set(np.unique(answer.dataobj)) == {0, 1, 4} if bundle != "adnet" else {0, 1}  # all alike: the first organ


@pytest.mark.parametrize("bundle", sorted(SMALL))
def test_nothing_of_a_wide_scan_is_cut(segment, tmp_path, bundle):
    """Organs far to the left and right, beyond the slices that the network was trained with."""
    rng = np.random.default_rng(0)
    shape = (150, 64, 6)
    label = np.zeros(shape, np.int16)
    label[4:20, 24:40], label[130:146, 24:40] = 1, 2
    image = (100 + 300.0 * (label == 1) + 700.0 * (label == 2) + rng.normal(0, 10, shape)).clip(0)
    scan_file = save(tmp_path / "wide.nii.gz", image.astype(np.float32))
    label_file = save(tmp_path / "label.nii.gz", label)
    settings = {**SMALL[bundle], "device": "cpu"}
    answer = segment(bundle, "out", image=scan_file, support_image=scan_file, support_label=label_file, **settings)
    found = np.asarray(answer.dataobj)
    if bundle == "adnet":
        assert found.shape == shape  # its threshold is learned: without training it may find nothing
    else:
        assert found[4:20, 24:40].max() > 0 and found[130:146, 24:40].max() > 0


def test_an_organ_too_small_for_the_network_is_named(segment, tmp_path):
    image, label = scan(1)
    label[...] = 0
    label[30:33, 24, 2] = 7  # three pixels on the border of feature cells
    files = {"support_image": save(tmp_path / "a.nii.gz", image), "support_label": save(tmp_path / "b.nii.gz", label)}
    with pytest.raises(SystemExit, match="organ 7: only 3 pixels are drawn.*draw more of it"):
        segment("ssl_alpnet", "out", image=files["support_image"], **files, **SMALL["ssl_alpnet"], device="cpu")


def test_an_organ_that_is_not_found_is_named(segment, tmp_path, capfd):
    image, label = scan(1)
    files = {"support_image": save(tmp_path / "a.nii.gz", image), "support_label": save(tmp_path / "b.nii.gz", label)}
    settings = {**SMALL["adnet"], "threshold": -1000.0, "device": "cpu"}
    answer = segment("adnet", "out", image=files["support_image"], **files, **settings)
    assert not np.any(answer.dataobj)
    assert "a.nii.gz: organ 1 was not found" in "".join(capfd.readouterr())
