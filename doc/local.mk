dist_man_MANS += doc/coordfs.1 doc/coordfs.5 doc/coordfs.7
EXTRA_DIST += doc/DESIGN doc/PROTOCOL
