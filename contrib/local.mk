EXTRA_DIST += contrib/install-deps contrib/lab contrib/quickstart contrib/run-tests contrib/systemd/coordfs.conf contrib/systemd/coordfs@.service .ci/run

# The network between contrib/lab's hosts.
check_PROGRAMS += contrib/lab-switch
contrib_lab_switch_SOURCES = contrib/lab-switch.c
contrib_lab_switch_LDADD =
