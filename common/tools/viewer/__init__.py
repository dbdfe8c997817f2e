"""The napari plugin: scans as layers, a session that answers what is drawn, the window, saving.

napari and Qt are imported by ``widget`` and what it is made of, and by nothing that other tools import.
"""
