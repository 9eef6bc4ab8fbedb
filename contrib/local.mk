EXTRA_DIST += contrib/install-deps contrib/quickstart contrib/run-tests .ci/run
