dist_man_MANS += doc/coordfs.1 doc/coordfs.5
EXTRA_DIST += doc/DESIGN doc/PROTOCOL
