/* Key files: made once by `coordfs keygen`, copied to each host by an administrator. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/internal.h"

#define MAGIC "coordfs-key-1 "
#define MAGIC_ANY "coordfs-key-"
#define Z85_BYTES (NET_KEY_BYTES * 5 / 4)
#define LINE_BYTES (sizeof MAGIC - 1 + Z85_BYTES)

static int complain(int code, char *error, size_t error_size, const char *path, const char *what)
{
	snprintf(error, error_size, "key=%s: %s", path, what);
	return code;
}

static int code_of(int error_number)
{
	switch (error_number) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	default:
		return ERR_ACCESS;
	}
}

static int complain_errno(char *error, size_t error_size, const char *path)
{
	int saved = errno;
	return complain(code_of(saved), error, error_size, path, strerror(saved));
}

/* ---- reading ---- */

static int check_file(int fd, const char *path, char *error, size_t error_size)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return complain_errno(error, error_size, path);
	if (!S_ISREG(st.st_mode))
		return complain(ERR_INVALID, error, error_size, path, "this is not a regular file");
	if (st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
		return complain(ERR_ACCESS, error, error_size, path,
				"others can read or write it; chmod 600 it, and make a new key if they may have read it");
	return OK;
}

/* At most size - 1 bytes, NUL-terminated; -1 with errno. */
static ssize_t read_text(int fd, char *out, size_t size)
{
	size_t got = 0;
	ssize_t more;
	do {
		more = read(fd, out + got, size - 1 - got);
		if (more > 0)
			got += (size_t)more;
	} while ((more > 0 && got < size - 1) || (more < 0 && errno == EINTR));
	out[got] = '\0';
	return more < 0 ? -1 : (ssize_t)got;
}

static int parse(char *text, size_t size, uint8_t key[NET_KEY_BYTES], const char *path, char *error, size_t error_size)
{
	if (size > 0 && text[size - 1] == '\n')
		text[--size] = '\0';
	if (strncmp(text, MAGIC_ANY, strlen(MAGIC_ANY)) != 0)
		return complain(ERR_INVALID, error, error_size, path, "this is no key of coordfs; coordfs keygen makes one");
	if (strncmp(text, MAGIC, strlen(MAGIC)) != 0)
		return complain(ERR_INVALID, error, error_size, path, "this key is of a newer coordfs");
	if (size != LINE_BYTES || strlen(text) != size || !zmq_z85_decode(key, text + strlen(MAGIC)))
		return complain(ERR_INVALID, error, error_size, path, "the key is damaged: it must be 40 characters of Z85");
	return OK;
}

int net_key_read(const char *path, uint8_t key[NET_KEY_BYTES], char *error, size_t error_size)
{
	char text[LINE_BYTES + 3]; /* a newline, one too many, NUL */
	ssize_t size = -1;
	int fd, code;

	memset(key, 0, NET_KEY_BYTES);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not make us wait */
	if (fd < 0)
		return complain_errno(error, error_size, path);
	code = check_file(fd, path, error, error_size);
	if (code == OK && (size = read_text(fd, text, sizeof text)) < 0)
		code = complain_errno(error, error_size, path);
	if (code == OK)
		code = parse(text, (size_t)size, key, path, error, error_size);
	if (code != OK)
		explicit_bzero(key, NET_KEY_BYTES);
	explicit_bzero(text, sizeof text);
	close(fd);
	return code;
}

/* ---- writing ---- */

static bool random_key(uint8_t key[NET_KEY_BYTES])
{
	ssize_t got;
	do
		got = getrandom(key, NET_KEY_BYTES, 0);
	while (got < 0 && errno == EINTR);
	return got == NET_KEY_BYTES;
}

static bool write_text(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, text, size);
		if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			text += done;
			size -= (size_t)done;
		}
	}
	return true;
}

/* The mode is what it must be whatever the umask. */
static bool fill(int fd)
{
	uint8_t key[NET_KEY_BYTES];
	char text[LINE_BYTES + 2] = MAGIC;
	bool is_done = random_key(key) && zmq_z85_encode(text + strlen(MAGIC), key, NET_KEY_BYTES);
	text[LINE_BYTES] = '\n';
	is_done = is_done && fchmod(fd, 0600) == 0 && write_text(fd, text, LINE_BYTES + 1) && fsync(fd) == 0;
	explicit_bzero(key, sizeof key);
	explicit_bzero(text, sizeof text);
	return is_done;
}

int net_key_write(const char *path, char *error, size_t error_size)
{
	int code = OK;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 && errno == EEXIST)
		return complain(ERR_EXISTS, error, error_size, path, "it exists already, and a key is never overwritten");
	if (fd < 0)
		return complain_errno(error, error_size, path);
	if (!fill(fd)) {
		code = complain_errno(error, error_size, path);
		unlink(path);
	}
	close(fd);
	return code;
}
