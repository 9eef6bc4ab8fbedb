/* README at the mount's root: how to use this tree, on one screen. */

#include "front/static.h"

static const char text[] =
	"coordfs: locks, counters and transactions of the whole cluster, as files.\n"
	"A write that has returned is stored durably, and seen by every mount.\n"
	"\n"
	"locks/         flock locks/nightly backup.sh     one at a time, first come first served\n"
	"               set -C; echo $$ > locks/job       lock files by O_EXCL, ln or mkdir work too\n"
	"               cat .info/locks/nightly           who holds it, who waits, its fencing token\n"
	"counters/      touch counters/hits               makes one, 0; so does the first write\n"
	"               echo +1 > counters/hits           adds; also -3; to set: 10 or =-10\n"
	"               echo \"cas 9 10\" > counters/hits   sets 10 if it is 9, else ECANCELED\n"
	"               echo \"+1 id=job7\" > counters/hits at most once for that id\n"
	"               exec 3<>counters/hits; echo +1 >&3; read -r value <&3\n"
	"               echo max=100 > .info/counters/hits\n"
	"transactions/  mkdir transactions/t              a view of counters/ and files/, all your own\n"
	"               echo +1 > transactions/t/counters/hits\n"
	"               echo commit > transactions/t/ctl  all or nothing; ECANCELED: start again\n"
	"               rmdir transactions/t              clears it away; rolls back if not committed\n"
	"votes/         mkdir votes/v; mkdir votes/v/participants/me; echo prepare > votes/v/ctl\n"
	"               echo yes > votes/v/participants/me/vote; cat .wait/votes/v/outcome\n"
	"files/         small ordinary files, 1 MiB each: configuration, a SQLite database, a git\n"
	"               repository. To replace one only while it is unchanged, write the new content to\n"
	"               files/.cas/PATH@REVISION, with the revision= line of .info/files/PATH\n"
	"fences/        echo 41 > fences/db               ESTALE when a higher token was seen there\n"
	".info/         cat .info/PATH                    all about PATH; for a directory .info/DIR/.self\n"
	"               grep error= .info/PATH            why the last request was refused, in words\n"
	"               setfattr -n user.coordfs.consistency -v eventual counters/DIR   (new, empty)\n"
	"               adding there goes on without a majority; weak: reads do. See man 7 coordfs\n"
	".wait/         cat .wait/PATH                    waits for the next change of PATH and tells it\n"
	"               cat .wait/PATH@REVISION           the first one after that; also .wait/DIR/.self\n"
	"cluster/       cat cluster/status                how the cluster is\n"
	"               echo NAME > cluster/leader        moves the leadership to that member\n"
	"               cat cluster/snapshot > backup     everything, of one revision; not listed\n"
	"\n"
	"Reading never changes anything: grep -r, find, rsync and backups are safe.\n"
	"More: man 5 coordfs\n";

int readme_print(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)f, (void)node;
	fputs(text, out);
	return OK;
}
