EXTRA_DIST += contrib/install-deps contrib/run-tests .ci/run
