# dist_man_MANS += doc/coordfs.1
