"""Cross-validation of a bundle, and tables, pages and reports of its results compared with the papers'."""
