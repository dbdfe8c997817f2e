"""What a bundle does inside of a MONAI Label server: its studies as data, its requests, its labels as support."""
