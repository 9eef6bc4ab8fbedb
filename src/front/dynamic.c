/* The class of names: .info/transactions/NAME and files/.cas/…. */

#include "front/dynamic.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info.h"
#include "front/static.h"
#include "front/transactions.h"
#include "front/virtual.h"

/* ---- transactions by name ---- */

/* T@MEMBER in two: false when there is no @. */
static bool split_member(const char *name, char out[static LIMIT_NAME_BYTES + 1], const char **member)
{
	const char *at = strrchr(name, '@');

	if (!at || strlen(name) > LIMIT_NAME_BYTES)
		return false;
	memcpy(out, name, (size_t)(at - name));
	out[at - name] = '\0';
	*member = at + 1;
	return true;
}

static struct txn *find_live(struct front *f, const char *name)
{
	char base[LIMIT_NAME_BYTES + 1];
	struct txn *t = transactions_named(f, name);
	const char *member;

	if (!t && split_member(name, base, &member) && strcmp(member, replica_member(f->replica)) == 0)
		t = transactions_named(f, base);
	return t;
}

static Coordfs__Outcome *find_outcome(struct front *f, const char *name)
{
	struct machine *m = replica_machine(f->replica);
	char base[LIMIT_NAME_BYTES + 1];
	Coordfs__Outcome *o = NULL;
	const char *member;

	if (machine_outcome(m, name, NULL, &o) < 0 && split_member(name, base, &member))
		machine_outcome(m, base, member, &o);
	return o;
}

fuse_ino_t dynamic_transaction(struct front *f, const char *name)
{
	struct name want = {.text = name};
	Coordfs__Outcome *o = NULL;
	bool known = find_live(f, name) != NULL;

	if (!known)
		o = find_outcome(f, name);
	if (o) {
		known = true;
		coordfs__outcome__free_unpacked(o, NULL);
	}
	return known ? names_get(f, &want) : 0;
}

static int print_transaction(struct front *f, const char *name, FILE *out)
{
	struct txn *t = find_live(f, name);
	Coordfs__Outcome *o;

	if (t) {
		txn_print_info(t, replica_member(f->replica), out);
		return OK;
	}
	o = find_outcome(f, name);
	if (!o)
		return ERR_NOT_FOUND;
	outcome_print_info(o, out);
	coordfs__outcome__free_unpacked(o, NULL);
	return OK;
}

int dynamic_print_info(struct front *f, fuse_ino_t node, FILE *out)
{
	const struct name *n = names_find(f, node);

	if (!n)
		return ERR_NOT_FOUND;
	return n->is_cas ? cas_print(f, n, out) : print_transaction(f, n->text, out);
}

/* ---- attributes ---- */

static void own(struct stat *out, mode_t mode, uint32_t uid, uint32_t gid, int64_t ns)
{
	out->st_mode = mode;
	out->st_uid = uid;
	out->st_gid = gid;
	out->st_mtim.tv_sec = ns / 1000000000;
	out->st_mtim.tv_nsec = ns % 1000000000;
	out->st_atim = out->st_ctim = out->st_mtim;
}

static int transaction_attr(struct front *f, const char *name, struct stat *out)
{
	struct txn *t = find_live(f, name);
	Coordfs__Outcome *o = t ? NULL : find_outcome(f, name);

	if (!t && !o)
		return ERR_NOT_FOUND;
	if (t)
		own(out, S_IFREG | 0644, t->uid, t->gid, t->ended_ns ? t->ended_ns : t->begun_ns);
	else
		own(out, S_IFREG | 0444, o->uid, 0, o->time_ns);
	if (o)
		coordfs__outcome__free_unpacked(o, NULL);
	return OK;
}

static int cas_directory_attr(struct front *f, uint64_t inode, struct stat *out)
{
	struct attr a;
	int code = view_attr(front_view(f), inode, &a);

	if (code < 0)
		return code;
	stat_of_attr(&a, out);
	out->st_mode = S_IFDIR | (a.mode & 0555);
	return OK;
}

int dynamic_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	const struct name *n = names_find(f, node);
	int code = ERR_NOT_FOUND;

	*out = (struct stat){.st_blksize = 4096};
	if (node_slot(node) == DYNAMIC_CAS)
		code = cas_directory_attr(f, node_inode(node), out);
	else if (n)
		code = n->is_cas ? cas_attr(f, n, out) : transaction_attr(f, n->text, out);
	if (code < 0)
		return code;
	out->st_ino = node;
	if (S_ISREG(out->st_mode)) {
		out->st_nlink = 1;
		out->st_size = (off_t)generated_size(f, node, dynamic_print_info);
	}
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

/* ---- operations ---- */

static void run_lookup(struct front *f, struct call *c)
{
	fuse_ino_t node = node_slot(c->node) == DYNAMIC_CAS ? cas_lookup(f, node_inode(c->node), c->name) : 0;

	virtual_reply_entry(c->req, node);
}

static void dynamic_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);

	c.run = run_lookup;
	call_strong(&c);
}

static void run_getattr(struct front *f, struct call *c)
{
	struct stat attr;
	int code = dynamic_attr(f, c->node, &attr);

	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_attr(c->req, &attr, 0);
}

static void dynamic_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = run_getattr;
	call_strong(&c);
}

static void dynamic_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	generated_reply_setattr(req, generated_setattr(to_set, attr), dynamic_getattr, node, fi);
}

static void dynamic_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct dynamic_handle *h = calloc(1, sizeof *h);

	(void)node;
	if (!h) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	text_init(&h->text);
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) != 0) {
		text_fini(&h->text);
		free(h);
	}
}

static void dynamic_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct dynamic_handle *h = dynamic_handle(fi);

	(void)node;
	text_fini(&h->text);
	free(h);
	fuse_reply_err(req, 0);
}

/* Nothing is listed in files/.cas: what walks a whole tree shall not walk it twice. */
static void dynamic_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct dir_reply d = dir_begin(req, size);

	(void)fi;
	static_list_dots(&d, node, (uint64_t)offset);
	dir_end(&d);
}

static void run_read(struct front *f, struct call *c)
{
	generated_read(f, c, dynamic_print_info);
}

static void dynamic_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_read;
	call_strong(&c);
}

static void write_transaction(struct front *f, const char *name, struct call *c, struct bytes input)
{
	struct txn *t = find_live(f, name);

	if (!t) {
		reply_code(c->req, ERR_READ_ONLY);
		return;
	}
	c->node = txn_node(t);
	info_write_lines(f, c, input);
}

static void dynamic_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
			  struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);
	struct front *f = front_of(req);
	const struct name *n = names_find(f, node);

	if (!n)
		reply_code(req, ERR_NOT_FOUND);
	else if (n->is_cas)
		cas_write(n, &c, data);
	else
		write_transaction(f, n->text, &c, (struct bytes){data, size});
}

const struct fuse_lowlevel_ops dynamic_class_ops = {
	.lookup = dynamic_lookup,
	.getattr = dynamic_getattr,
	.setattr = dynamic_setattr,
	.readdir = dynamic_readdir,
	.open = dynamic_open,
	.read = dynamic_read,
	.write = dynamic_write,
	.release = dynamic_release,
};
