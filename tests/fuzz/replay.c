/* Replays a fuzz corpus through a target as an ordinary test: every file of every folder named on the command line. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	size_t cap = (size_t)8 << 20, n;
	uint8_t *data = malloc(cap);
	if (data == NULL)
		abort();
	n = fread(data, 1, cap, f);
	fclose(f);
	/* A copy of exact size, so that a sanitizer sees a read one byte past the end. */
	uint8_t *exact = malloc(n ? n : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, data, n);
	free(data);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	int n_files = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (dir == NULL) {
			perror(argv[i]);
			return 1;
		}
		for (struct dirent *e; (e = readdir(dir)) != NULL;) {
			char path[4096];
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
			failed |= replay_file(path);
			n_files++;
		}
		closedir(dir);
	}
	if (n_files == 0) {
		fprintf(stderr, "no corpus files found\n");
		return 1;
	}
	printf("%d corpus files replayed\n", n_files);
	return failed;
}
