"""A box-shaped abdomen in world coordinates, and downloads of it in each challenge's layout."""

import nibabel as nib
import numpy as np
from PIL import Image

from tests.dicom.writer import write_series

# Faces in mm, RAS: right, anterior and superior are positive.
ORGANS = {
    "liver": ((20, 140), (-50, 80), (-50, 50)),
    "right kidney": ((40, 90), (-100, -55), (-40, 40)),
    "left kidney": ((-90, -40), (-100, -55), (-40, 40)),
    "spleen": ((-140, -80), (-50, 40), (-40, 40)),
}
BODY = ((-150, 150), (-115, 115), (-70, 70))
BRIGHTNESS = {"liver": 600, "right kidney": 1200, "left kidney": 1200, "spleen": 900}
CHAOS_GREYS = {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}
SABS_VALUES = {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 6}


def grid(shape=(40, 32, 12), spacing=(9.0, 9.0, 12.0), axcodes="LPS", tilt=0.0):
    """Affine, index to RAS mm, of a grid about the abdomen's centre, tilted about the first world axis by degrees."""
    turn = nib.orientations.axcodes2ornt(axcodes)
    directions = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(turn.astype(int)):
        directions[world, axis] = sign
    c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ directions * spacing
    affine[:3, 3] = (3.0, -2.0, 1.0) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


def world(shape, affine):
    """World position (*shape, 3) of each voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def inside(faces, points, margin=0.0):
    return np.all([(points[..., a] > low + margin) & (points[..., a] < high - margin) for a, (low, high) in faces], 0)


def image_at(points, offset=0):
    """Intensity at world positions: one value per organ plus a gradient, 0 in air."""
    values = np.where(inside(list(enumerate(BODY)), points), 300.0, 0.0)
    for organ, faces in ORGANS.items():
        values[inside(list(enumerate(faces)), points)] = BRIGHTNESS[organ]
    return np.where(values > 0, values + 0.5 * points[..., 0] + 0.3 * points[..., 1] + points[..., 2] + offset, 0.0)


def label_at(points, values):
    """Label at world positions, with the given value for each organ."""
    label = np.zeros(points.shape[:-1], np.int16)
    for organ, faces in ORGANS.items():
        label[inside(list(enumerate(faces)), points)] = values[organ]
    return label


def uniform(points, margin):
    """Where the surroundings within the margins (mm, per world axis) belong to one tissue."""
    steps = [(-m, 0.0, m) for m in margin]
    tissue = [
        image_at(points + np.array(step)) - image_at_gradient(points + np.array(step))
        for step in np.stack(np.meshgrid(*steps), -1).reshape(-1, 3)
    ]
    return np.ptp(np.stack(tissue), axis=0) < 1e-6


def image_at_gradient(points):
    gradient = 0.5 * points[..., 0] + 0.3 * points[..., 1] + points[..., 2]
    return np.where(inside(list(enumerate(BODY)), points), gradient, 0.0)


def save_nifti(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)
    return path


def write_chaos(folder, number, affine=None, shape=(40, 32, 12), reverse=False, mirror=False, greys=CHAOS_GREYS):
    """Write ``MR/<number>/T2SPIR``; slices may be numbered from the last one on, labels mirrored left to right."""
    affine = grid(shape) if affine is None else affine
    points = world(shape, affine)
    lps = np.diag([-1.0, -1.0, 1.0])
    directions = lps @ affine[:3, :3]
    spacing = np.linalg.norm(directions, axis=0)
    directions = directions / spacing
    assert np.allclose(np.cross(directions[:, 0], directions[:, 1]), directions[:, 2]), "DICOM grids are right-handed"
    numbers = list(range(shape[2]))[:: -1 if reverse else 1]
    series = folder / "MR" / str(number) / "T2SPIR"
    write_series(
        series / "DICOM_anon",
        np.rint(image_at(points)).astype(np.uint16),
        position=lps @ affine[:3, 3],
        orientation=tuple(directions[:, :2].T.ravel()),
        spacing=(spacing[1], spacing[0]),
        step=spacing[2],
        rescale=(1, 0),
        uid=f"1.2.826.0.1.3680043.10.511.{number}.1",
        name="IMG-0004-{:05d}.dcm",
        numbers=numbers,
    )
    label = label_at(points * (-1 if mirror else 1, 1, 1), greys).astype(np.uint8)
    (series / "Ground").mkdir()
    for index, named in enumerate(numbers):
        Image.fromarray(np.ascontiguousarray(label[:, :, index].T)).save(
            series / "Ground" / f"IMG-0004-{named:05d}.png"
        )
    return series


def read(output, subject):
    """Image array, label array and affine of a prepared scan."""
    image, label = (nib.load(output / part / f"{subject}.nii.gz") for part in ("imagesTr", "labelsTr"))
    np.testing.assert_array_equal(image.affine, label.affine)
    return np.asanyarray(image.dataobj), np.asanyarray(label.dataobj), image.affine
