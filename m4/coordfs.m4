dnl COORDFS_MISSING(WHAT, DEBIAN-PACKAGE): stop, and say what to install.
AC_DEFUN([COORDFS_MISSING],
[AC_MSG_ERROR([$1 is missing. Debian package $2; contrib/install-deps installs all that is needed.])])

dnl COORDFS_LIBRARY(VARIABLE-PREFIX, PKG-CONFIG-MODULE, DEBIAN-PACKAGE)
AC_DEFUN([COORDFS_LIBRARY],
[PKG_CHECK_MODULES([$1], [$2], [], [COORDFS_MISSING([$2], [$3])])])

dnl COORDFS_RAFT(MINIMUM): libraft loses acknowledged writes before 0.22.1. Debian 12 has an older one, therefore
dnl contrib/install-deps builds it into a prefix of its own: looked at when pkg-config knows no good one, and then
dnl linked with a run path, so that nothing needs LD_LIBRARY_PATH.
AC_DEFUN([COORDFS_RAFT],
[AC_ARG_WITH([raft],
	[AS_HELP_STRING([--with-raft=PREFIX],
		[where libraft is, if pkg-config does not know one that is new enough @<:@/opt/coordfs-raft@:>@])],
	[], [with_raft=])
PKG_CHECK_EXISTS([raft >= $1], [have_raft=yes], [have_raft=no])
raft_prefix=
AS_IF([test -n "$with_raft"], [raft_prefix=$with_raft],
	[test $have_raft = no], [raft_prefix=/opt/coordfs-raft])
AS_IF([test -n "$raft_prefix"],
	[PKG_CONFIG_PATH="$raft_prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
	export PKG_CONFIG_PATH
	RAFT_RPATH="-Wl,-rpath,$raft_prefix/lib"])
PKG_CHECK_MODULES([RAFT], [raft >= $1], [],
	[COORDFS_MISSING([raft >= $1], [libraft-dev (Debian 13; Debian 12 has none that is new enough)])])
raft_version=`$PKG_CONFIG --modversion raft`
raft_from=${raft_prefix:-the system}
AC_SUBST([RAFT_RPATH])])

dnl COORDFS_ZMQ_CURVE: a libzmq built without CURVE links, and then refuses keys at run time.
AC_DEFUN([COORDFS_ZMQ_CURVE],
[AC_CACHE_CHECK([whether libzmq has CURVE], [coordfs_cv_zmq_curve],
	[coordfs_save_CFLAGS=$CFLAGS
	coordfs_save_LIBS=$LIBS
	CFLAGS="$CFLAGS $ZMQ_CFLAGS"
	LIBS="$LIBS $ZMQ_LIBS"
	AC_RUN_IFELSE(
		[AC_LANG_PROGRAM([[#include <zmq.h>]], [[return zmq_has("curve") ? 0 : 1;]])],
		[coordfs_cv_zmq_curve=yes], [coordfs_cv_zmq_curve=no], [coordfs_cv_zmq_curve="not known, cross compiling"])
	CFLAGS=$coordfs_save_CFLAGS
	LIBS=$coordfs_save_LIBS])
AS_IF([test "$coordfs_cv_zmq_curve" = no], [COORDFS_MISSING([libzmq with CURVE], [libzmq3-dev])])])

dnl COORDFS_OPTIONS: sanitizers, fuzzers, coverage, warnings. They go into flags that each program of this package
dnl is built with, and not into CFLAGS, which belong to the user.
AC_DEFUN([COORDFS_OPTIONS],
[AC_ARG_ENABLE([sanitize],
	[AS_HELP_STRING([--enable-sanitize=LIST], [address,undefined or thread: build everything with these sanitizers])])
AC_ARG_ENABLE([fuzz],
	[AS_HELP_STRING([--enable-fuzz], [build the fuzzers in tests/fuzz (needs CC=clang)])])
AC_ARG_ENABLE([coverage],
	[AS_HELP_STRING([--enable-coverage], [build everything for gcov])])
AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [warnings are errors])])

MODE_CFLAGS=
FUZZ_LDFLAGS=
coordfs_sanitize=$enable_sanitize
AS_CASE([$enable_sanitize],
	[yes], [coordfs_sanitize=address,undefined],
	[no], [coordfs_sanitize=])
AS_IF([test "x$enable_fuzz" = xyes],
	[AS_IF([test -z "$coordfs_sanitize"], [coordfs_sanitize=address,undefined])
	coordfs_sanitize=fuzzer-no-link,$coordfs_sanitize
	FUZZ_LDFLAGS=-fsanitize=fuzzer])
AS_IF([test -n "$coordfs_sanitize"],
	[MODE_CFLAGS="-fsanitize=$coordfs_sanitize -fno-sanitize-recover=all -fno-omit-frame-pointer"])
AS_IF([test "x$enable_coverage" = xyes], [MODE_CFLAGS="$MODE_CFLAGS --coverage"])
AS_IF([test -n "$MODE_CFLAGS"],
	[AC_MSG_CHECKING([whether $CC links with $MODE_CFLAGS])
	coordfs_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $MODE_CFLAGS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CC cannot do that. Fuzzers need CC=clang and Debian package libclang-rt-*-dev (contrib/install-deps).])])
	CFLAGS=$coordfs_save_CFLAGS])
# In gcc's shared libraries, UBSan beside ASan ignores log_path: a daemon's reports would be lost.
MODE_LDFLAGS=
AS_CASE([$coordfs_sanitize],
	[*address*undefined*|*undefined*address*],
	[AC_MSG_CHECKING([whether $CC links sanitizers statically])
	coordfs_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $MODE_CFLAGS -static-libasan -static-libubsan"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])
		MODE_LDFLAGS="-static-libasan -static-libubsan"],
		[AC_MSG_RESULT([its own way])])
	CFLAGS=$coordfs_save_CFLAGS])

WARN_CFLAGS="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes"
AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])

AC_SUBST([MODE_CFLAGS])
AC_SUBST([MODE_LDFLAGS])
AC_SUBST([FUZZ_LDFLAGS])
AC_SUBST([WARN_CFLAGS])
AM_CONDITIONAL([FUZZ], [test "x$enable_fuzz" = xyes])])
