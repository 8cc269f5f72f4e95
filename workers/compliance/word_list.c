/* Reading lists of words: JSON arrays and plain lines. A list with a word that cannot be used is refused as a whole,
 * because leaving the word out would move all words behind it. */

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

#include "workers/compliance/word_list.h"

#define MAX_FILE ((size_t) 1024 * 1024)
#define MAX_WORD 64

void word_list_done(WordList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->words[i]);
        free(l->words);
        *l = (WordList){ 0 };
}

static bool word_is_usable(const char *word, size_t length) {
        if (length == 0 || length > MAX_WORD)
                return false;
        for (size_t i = 0; i < length; i++)
                if (!(word[i] >= 'a' && word[i] <= 'z') && !(word[i] >= 'A' && word[i] <= 'Z') &&
                    !(word[i] >= '0' && word[i] <= '9') && word[i] != '-' && word[i] != '_')
                        return false;
        return true;
}

/* `where` and `number` say which word it is: "line 3". */
static int add_word(WordList *l, const char *source, const char *where, size_t number, const char *word, size_t length,
                    Error *reterr) {
        char **grown, *copy;
        int r;

        if (!word_is_usable(word, length)) {
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: %s %zu is no usable word", source, where, number);
                error_set_hint(reterr, "words are 1 to %d letters, digits, - or _ of ASCII", MAX_WORD);
                return r;
        }
        copy = strndup(word, length);
        grown = (l->n & (l->n + 1)) == 0 ? reallocarray(l->words, 2 * (l->n + 1), sizeof(*grown)) : l->words;
        if (grown)
                l->words = grown;
        if (!copy || !grown) {
                free(copy);
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: out of memory", source);
        }
        l->words[l->n++] = copy;
        return 0;
}

static int parse_lines(const char *source, const char *text, size_t length, WordList *l, Error *reterr) {
        size_t number = 0;

        while (length > 0) {
                const char *newline = memchr(text, '\n', length);
                size_t all = newline ? (size_t) (newline - text) + 1 : length, n = newline ? all - 1 : all;
                const char *word = text;
                int r;

                number++;
                text += all;
                length -= all;
                while (n > 0 && strchr(" \t\r", word[n - 1]))
                        n--;
                while (n > 0 && strchr(" \t", *word)) {
                        word++;
                        n--;
                }
                if (n == 0)
                        continue;
                r = add_word(l, source, "line", number, word, n, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_json(const char *source, const char *text, size_t length, WordList *l, Error *reterr) {
        json_error_t e;
        json_t *array = json_loadb(text, length, 0, &e), *element;
        size_t i;
        int r = 0;

        if (!array)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s:%d: %s", source, e.line, e.text);
        json_array_foreach (array, i, element) {
                /* no string is no word */
                r = add_word(l, source, "element", i + 1, json_string_value(element) ?: "", json_string_length(element),
                             reterr);
                if (r < 0)
                        break;
        }
        json_decref(array);
        return r;
}

static int hash_text(const char *text, size_t length, char ret[static 65]) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        if (EVP_Digest(text, length, digest, &n, EVP_sha256(), NULL) != 1)
                return -EIO;
        for (unsigned i = 0; i < n; i++)
                (void) snprintf(ret + (size_t) 2 * i, 3, "%02x", digest[i]);
        return 0;
}

int word_list_parse(const char *source, const char *text, size_t length, WordList *ret, Error *reterr) {
        _cleanup_word_list_ WordList l = { 0 };
        size_t blanks = 0;
        int r;

        while (blanks < length && strchr(" \t\r\n", text[blanks]))
                blanks++;
        r = blanks < length && text[blanks] == '[' ? parse_json(source, text, length, &l, reterr)
                                                   : parse_lines(source, text, length, &l, reterr);
        if (r < 0)
                return r;
        if (l.n == 0)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: there is no word in it", source);
        if (hash_text(text, length, l.sha256) < 0)
                return error_set(reterr, ERROR_NEVER, -EIO, "%s: libcrypto has no SHA-256", source);
        *ret = l;
        l = (WordList){ 0 };
        return 0;
}

static int read_file(const char *path, Buffer *ret) {
        /* a FIFO must not hold us up before it is seen to be none of ours */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char chunk[8192];
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (ret->length + (size_t) n > MAX_FILE)
                        return -EFBIG;
                if (buffer_append(ret, chunk, (size_t) n) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int word_list_load(const char *path, WordList *ret, Error *reterr) {
        _cleanup_buffer_ Buffer text = { 0 };
        int r;

        r = read_file(path, &text);
        if (r < 0) {
                (void) error_set(reterr, ERROR_NEVER, r, "cannot read %s: %s", path, strerror(-r));
                error_set_hint(reterr, "the file must be readable for the user of the service");
                return r;
        }
        return word_list_parse(path, text.data ?: "", text.length, ret, reterr);
}
