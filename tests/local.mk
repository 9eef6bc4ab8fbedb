# `make check`: tests/driver runs each test, with a time limit, and counts each case it reports.
#   tests/unit/test_*.c      cmocka; a program each
#   tests/system/*.sh        real mounts; one at a time, for they measure and fill the machine
#   tests/tidy/*.sh          the source itself
# exit status: 0 passed, 77 skipped (and the output says why), else failed.

TEST_EXTENSIONS = .sh
TEST_DRIVER = $(BASH_SHELL) $(top_srcdir)/tests/driver
LOG_DRIVER = $(TEST_DRIVER)
SH_LOG_DRIVER = $(TEST_DRIVER)
SH_LOG_COMPILER = $(BASH_SHELL)

AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	COORDFS='$(abs_top_builddir)/src/coordfs$(EXEEXT)'; export COORDFS; \
	COORDFS_VERSION='$(PACKAGE_VERSION)'; export COORDFS_VERSION; \
	CC='$(CC)'; export CC;

EXTRA_DIST += tests/driver
CLEANFILES += tests/system.lock

# ---- unit ----------------------------------------------------------------------------------------------------------

UNIT_LDADD = $(COORDFS_LIBS) $(CMOCKA_LIBS)

UNIT_TESTS = \
	tests/unit/test_libraries

tests_unit_test_libraries_LDADD = $(UNIT_LDADD)

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# ---- system --------------------------------------------------------------------------------------------------------

SYSTEM_TESTS = \
	tests/system/version.sh

TESTS += $(SYSTEM_TESTS)
EXTRA_DIST += $(SYSTEM_TESTS) tests/system/lib.sh

# system calls for the shell
check_PROGRAMS += tests/system/op
tests_system_op_SOURCES = tests/system/op.c
tests_system_op_CFLAGS = $(AM_CFLAGS)
tests_system_op_LDADD =
