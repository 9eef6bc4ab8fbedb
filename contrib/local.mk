EXTRA_DIST += contrib/install-deps contrib/lab contrib/quickstart contrib/run-tests contrib/systemd/coordfs.conf contrib/systemd/coordfs@.service .ci/run
EXTRA_DIST += contrib/examples/README contrib/examples/coordfs-commit contrib/examples/coordfs_commit.py \
	contrib/examples/prepare-postgres contrib/examples/transfer.sh contrib/examples/publish.sh contrib/examples/jobs.sh \
	contrib/examples/transfer.py contrib/examples/publish.py contrib/examples/jobs.py

# The network between contrib/lab's hosts.
check_PROGRAMS += contrib/lab-switch
contrib_lab_switch_SOURCES = contrib/lab-switch.c
contrib_lab_switch_LDADD =
