"""Train, evaluate and infer with the bundle that this file is named after, on small scans made here."""

import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.bundle import ConfigParser, ConfigWorkflow

BUNDLE = Path("models") / Path(__file__).stem.replace("test_", "", 1)
SHORT = {"init": "none", "episodes_per_epoch": 2, "max_epochs": 1, "val_interval": 1, "num_workers": 1, "batch_size": 1}
ORGANS = {"fold_organs": [1, 2], "test_organs": [2]}


def make_dataset(folder, scans=5, shape=(96, 96, 8)):
    """Write scans of a round body with two bright organs, and their label maps."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    body = np.hypot(grid[0], grid[1]) < 0.9
    label = np.zeros(shape, np.int16)
    label[(grid[0] - 0.4) ** 2 + grid[1] ** 2 < 0.08] = 1
    label[(grid[0] + 0.4) ** 2 + grid[1] ** 2 < 0.06] = 2
    for number in range(1, scans + 1):
        noise = np.random.default_rng(number).normal(0, 10, shape)
        image = np.clip(200 * body + 250 * (label == 1) + 500 * (label == 2) + noise, 0, None)
        for kind, values in (("imagesTr", image.astype(np.float32)), ("labelsTr", label)):
            path = Path(folder, kind, f"case_{number}.nii.gz")
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values, np.diag([-2.5, 2.5, 7.7, 1.0])), path)
    names = [{"image": f"imagesTr/case_{n}.nii.gz", "label": f"labelsTr/case_{n}.nii.gz"} for n in range(1, scans + 1)]
    labels = {"background": 0, "first": 1, "second": 2}
    Path(folder, "dataset.json").write_text(json.dumps({"labels": labels, "training": names}))


class _Workflows(unittest.TestCase):
    def setUp(self):
        sys.path.append(str(BUNDLE))
        self.folder = tempfile.mkdtemp()
        make_dataset(self.folder)
        self.data = {"dataset_dir": self.folder, "output_dir": f"{self.folder}/output_dir"}
        places = {name: f"{self.folder}/{name}" for name in ("ckpt_dir", "cache_dir")}
        known = ConfigParser.load_config_file(BUNDLE / "configs" / "train.yaml")
        self.training = {name: value for name, value in {**ORGANS, **SHORT}.items() if name in known}
        self.training |= {**self.data, **places}

    def tearDown(self):
        shutil.rmtree(self.folder)

    def load(self, configs, kind, **settings):
        workflow = ConfigWorkflow(
            config_file=[str(BUNDLE / "configs" / f"{name}.yaml") for name in configs],
            meta_file=str(BUNDLE / "configs" / "metadata.json"),
            logging_file=str(BUNDLE / "configs" / "logging.conf"),
            workflow_type=kind,
            **settings,
        )
        workflow.initialize()
        return workflow


@unittest.skipIf("RANK" in os.environ, "one process is enough")
class TestBundle(_Workflows):
    def check_and_run(self, configs, kind, **settings):
        workflow = self.load(configs, kind, **settings)
        self.assertFalse(workflow.check_properties())
        workflow.run()
        workflow.finalize()

    def test_train_then_evaluate(self):
        self.check_and_run(["train"], "train", **self.training)
        self.assertTrue(Path(self.folder, "ckpt_dir", "model.pt").is_file())
        self.check_and_run(["train", "evaluate"], "train", **self.training)
        self.assertGreater(len(Path(self.folder, "output_dir", "cases.csv").read_text().splitlines()), 1)

    def test_infer(self):
        image = str(Path(self.folder, "imagesTr", "case_5.nii.gz"))
        self.check_and_run(["inference"], "infer", image=image, **self.data)
        self.assertTrue(Path(self.folder, "output_dir", "case_5_seg.nii.gz").is_file())


@unittest.skipUnless("RANK" in os.environ, "needs torchrun")
class TestBundleDist(_Workflows):
    def test_train(self):
        # Each process works in a folder of its own; the first one writes the weights.
        self.load(["train", "multi_gpu_train"], "train", **self.training).run()
        self.assertEqual(Path(self.folder, "ckpt_dir", "model.pt").is_file(), os.environ["RANK"] == "0")


if __name__ == "__main__":
    unittest.main()
