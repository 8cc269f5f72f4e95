/* Runs a fuzz target over every file of the directories given: the kept corpus as a test. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *directory, const char *name) {
        char path[4096];
        uint8_t *data;
        long size;
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "re");
        if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) < 0) {
                perror(path);
                exit(1);
        }
        data = malloc((size_t) size + 1);
        if (!data || fread(data, 1, (size_t) size, f) != (size_t) size) {
                perror(path);
                exit(1);
        }
        (void) fclose(f);
        (void) LLVMFuzzerTestOneInput(data, (size_t) size);
        free(data);
        return 1;
}

int main(int argc, char **argv) {
        int n = 0;

        for (int i = 1; i < argc; i++) {
                DIR *d = opendir(argv[i]);
                struct dirent *e;

                if (!d) {
                        perror(argv[i]);
                        return 1;
                }
                while ((e = readdir(d)))
                        if (e->d_name[0] != '.')
                                n += replay(argv[i], e->d_name);
                (void) closedir(d);
        }
        (void) printf("%d inputs\n", n);
        return n > 0 ? 0 : 1;
}
