/* Names and their generator. Expected values: compliance specification, section 4.2. The index vectors are those of
 * lists of 372 and 568 words. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "workers/compliance/seeded_random.h"
#include "workers/compliance/username.h"

static void expect_bytes(const char *seed, const char *hex) {
        SeededRandom r;

        seeded_random_init(&r, seed, strlen(seed));
        for (; *hex; hex += 2) {
                unsigned expected;

                cr_assert_eq(sscanf(hex, "%2x", &expected), 1);
                cr_assert_eq(seeded_random_byte(&r), expected, "%s: at %s", seed, hex);
        }
}

static void expect_draws(const char *seed, size_t n, const double *expected) {
        SeededRandom r;

        seeded_random_init(&r, seed, strlen(seed));
        for (size_t i = 0; i < n; i++) {
                double got = seeded_random_draw(&r);

                cr_assert(got == expected[i], "%s: draw %zu is %a, expected %a", seed, i, got, expected[i]);
        }
}

#define EXPECT_DRAWS(seed, ...)                                                                                        \
        expect_draws(seed, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), (double[]){ __VA_ARGS__ })

#define ADDRESS "dydx1v0rks90786p093z6m632sdml77facea7e88thm"

Test(username, generator_bytes) {
        expect_bytes("a", "6f3b035005450b8b8e5155ce49495b9b");
        expect_bytes("dydx/0/0", "7afca9bcd3be45f4d8206174d12496ae");
        expect_bytes("spec-seed-6", "0ee076e95c747df43d47725c");
        expect_bytes("spec-seed-412", "000551ece2814aaeb58bda58");
        expect_bytes(ADDRESS "/0/0", "692fb06a3ca41254e6bf42f7f7a73b30a3b7d816222c8c3b");
}

Test(username, draws_of_seven_eight_and_nine_bytes) {
        EXPECT_DRAWS("a", 0.43449421599986604, 0.5451403460013228, 0.3578386258898537);
        EXPECT_DRAWS("dydx/0/0", 0x1.ebf2a6f34ef91p-2, 0x1.e9b040c2e9a24p-1, 0x1.2d5cc181a8b55p-1);
        EXPECT_DRAWS("spec-seed-6", 0x1.dc0edd2b8e8fbp-5);
        EXPECT_DRAWS("spec-seed-412", 0x1.547b38a052abap-14);
        EXPECT_DRAWS(ADDRESS "/0/0", 0.41088392823861875, 0.33164592156387457, 0.23121093023663566, 0.1740147522047425,
                     0.5246625175889907);
}

static const struct {
        const char *address;
        unsigned number, nonce;
        size_t adjective, noun;
        unsigned char suffix[3];
        const char *suffix_text;
} vectors[] = {
        { "dydx1v0rks90786p093z6m632sdml77facea7e88thm", 0, 0, 152, 188, { 8, 6, 18 }, "IGS" },
        { "dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn", 0, 0, 204, 450, { 34, 22, 6 }, "8WG" },
        { "dydx1rx4erjzqsha3rv33r5et8r3698x97nagc5wla3", 0, 0, 3, 550, { 0, 28, 19 }, "A2T" },
        { "dydx1z8mjlxjf406h6q5nkgekad08za3rr9ptxy3ar2", 0, 0, 308, 198, { 5, 27, 18 }, "F1S" },
        { "dydx1973sj06n4ksaxfr3yctej5c4j70xdcslqw3h25", 0, 0, 296, 473, { 0, 17, 30 }, "AR4" },
        { "dydx10dg0f8xxhekxl2ql3l6dz7xx08mx63msg4vztn", 0, 0, 86, 68, { 4, 23, 0 }, "EXA" },
        { "dydx1kzg6x7hd2h8fg589hcy7r9zu68hsur6r5v78pz", 0, 0, 74, 430, { 11, 33, 14 }, "L7O" },
        { "dydx15dcykwegcnxvrlxwj3l49q8sg75r45fyzfaw27", 0, 0, 239, 243, { 30, 28, 28 }, "422" },
        { "dydx103hv78v7kteu74hszl7jvlrwmeudn4v8cd525u", 0, 0, 83, 532, { 35, 14, 24 }, "9OY" },
        { "dydx10se75q570jds3m50m3qp47dv0yhvycxs4a4x43", 0, 0, 351, 208, { 8, 3, 14 }, "IDO" },
        { "dydx19fmdq8hj3svgz53zl68ntsszy8xfxfe60jrrvc", 0, 0, 56, 559, { 10, 25, 32 }, "KZ6" },
        { "dydx12w8xqrlhj20p7mwl92wrm9guex8twzkw6yg06y", 0, 0, 151, 408, { 12, 10, 17 }, "MKR" },
        { "dydx13umckkpsvvpwsvnu8v0n3jguteyrqacq8penev", 0, 0, 312, 152, { 29, 26, 9 }, "30J" },
        { "dydx1rdnssm878hefqh7pw2dv43eaadaqt6mwgq96m5", 0, 0, 2, 319, { 21, 7, 6 }, "VHG" },
        { "dydx1us3sez8myk3g4ava9q8czg7v9dawlsd7frsxqt", 0, 0, 264, 335, { 14, 14, 16 }, "OOQ" },
        { "dydx1svyg0d4w9ks6j0fxzh0j6h8grnhe58mm6gs2ex", 0, 0, 357, 563, { 18, 25, 26 }, "SZ0" },
        { "dydx1v0rks90786p093z6m632sdml77facea7e88thm", 0, 1, 223, 69, { 9, 31, 0 }, "J5A" },
        { "dydx1v0rks90786p093z6m632sdml77facea7e88thm", 0, 2, 44, 298, { 16, 4, 3 }, "QED" },
        { "dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn", 0, 1, 228, 146, { 22, 14, 28 }, "WO2" },
        { "dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn", 0, 2, 150, 232, { 30, 35, 24 }, "49Y" },
        { "dydx1rx4erjzqsha3rv33r5et8r3698x97nagc5wla3", 0, 1, 38, 488, { 25, 23, 30 }, "ZX4" },
        { "dydx1rx4erjzqsha3rv33r5et8r3698x97nagc5wla3", 0, 2, 44, 302, { 7, 33, 16 }, "H7Q" },
        { "dydx1z8mjlxjf406h6q5nkgekad08za3rr9ptxy3ar2", 0, 1, 193, 414, { 7, 22, 23 }, "HWX" },
        { "dydx1z8mjlxjf406h6q5nkgekad08za3rr9ptxy3ar2", 0, 2, 9, 309, { 29, 2, 20 }, "3CU" },
        { "dydx1973sj06n4ksaxfr3yctej5c4j70xdcslqw3h25", 1, 0, 69, 81, { 18, 30, 15 }, "S4P" },
        { "dydx1973sj06n4ksaxfr3yctej5c4j70xdcslqw3h25", 127, 0, 282, 132, { 25, 35, 35 }, "Z99" },
        { "dydx10dg0f8xxhekxl2ql3l6dz7xx08mx63msg4vztn", 128000, 7, 59, 339, { 21, 17, 0 }, "VRA" },
};

/* Lists of the sizes that the vectors are about, whose words are their indices: "w00152", "n188". */
static void numbered_list(WordList *l, char letter, size_t n) {
        _cleanup_buffer_ Buffer text = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        for (size_t i = 0; i < n; i++)
                (void) buffer_printf(&text, "%c%zu\n", letter, i);
        cr_assert_eq(word_list_parse("numbers", text.data, text.length, l, &e), 0, "%s", error_text(&e));
        cr_assert_eq(l->n, n);
}

Test(username, all_index_vectors) {
        _cleanup_word_list_ WordList adjectives = { 0 }, nouns = { 0 };
        UsernameStyle style = { &adjectives, &nouns, 3 };

        numbered_list(&adjectives, 'a', 372);
        numbered_list(&nouns, 'n', 568);
        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                _cleanup_free_ char *name = NULL, *expected = NULL;
                UsernameDraw d;

                cr_assert_eq(username_draw(&style, vectors[i].address, vectors[i].number, vectors[i].nonce, &d), 0);
                cr_assert_eq(d.adjective, vectors[i].adjective, "vector %zu", i);
                cr_assert_eq(d.noun, vectors[i].noun, "vector %zu", i);
                cr_assert_arr_eq(d.suffix, vectors[i].suffix, 3, "vector %zu", i);
                cr_assert_eq(username_make(&style, vectors[i].address, vectors[i].number, vectors[i].nonce, &name), 0);
                expected = str_printf("A%zuN%zu%s", d.adjective, d.noun, vectors[i].suffix_text);
                cr_assert_str_eq(name, expected);
        }
}

Test(username, digits_are_a_setting_and_do_not_change_what_is_before) {
        static const struct {
                unsigned digits, nonce;
                const char *expected;
        } cases[] = { { 5, 0, "A152N188IGSXM" }, { 0, 0, "A152N188" }, { 3, 3, "102" } };
        _cleanup_word_list_ WordList adjectives = { 0 }, nouns = { 0 };

        numbered_list(&adjectives, 'a', 372);
        numbered_list(&nouns, 'n', 568);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                UsernameStyle style = { &adjectives, &nouns, cases[i].digits };
                _cleanup_free_ char *name = NULL;

                cr_assert_eq(username_make(&style, ADDRESS, 0, cases[i].nonce, &name), 0);
                cr_assert_str_eq(name + strlen(name) - strlen(cases[i].expected), cases[i].expected, "%s", name);
        }
}

Test(username, an_address_that_is_too_long_is_refused) {
        _cleanup_word_list_ WordList words = { 0 };
        UsernameStyle style = { &words, &words, 3 };
        char address[300];
        UsernameDraw d;

        numbered_list(&words, 'w', 10);
        memset(address, 'x', sizeof(address));
        address[251] = '\0';
        cr_assert_eq(username_draw(&style, address, 0, 0, &d), 0);
        address[251] = 'x';
        address[252] = '\0';
        cr_assert_eq(username_draw(&style, address, 0, 0, &d), -EINVAL);
}

Test(username, names_are_recognised_whatever_their_suffix) {
        _cleanup_word_list_ WordList adjectives = { 0 }, nouns = { 0 };
        UsernameStyle style = { &adjectives, &nouns, 3 };

        numbered_list(&adjectives, 'a', 372);
        numbered_list(&nouns, 'n', 568);
        cr_assert(username_is_of(&style, ADDRESS, 3, "A152N188IGS"));
        cr_assert(username_is_of(&style, ADDRESS, 3, "A152N188IGSXM"));
        cr_assert(username_is_of(&style, ADDRESS, 3, "A44N298QED"));
        cr_assert_not(username_is_of(&style, ADDRESS, 2, "A44N298QED"));
        cr_assert_not(username_is_of(&style, ADDRESS, 3, "A152N188igs"));
        cr_assert_not(username_is_of(&style, ADDRESS, 3, "A152N18"));
        cr_assert_not(username_is_of(&style, "dydx1other", 3, "A152N188IGS"));
}

Test(word_list, lines_and_json_are_the_same_list) {
        static const char *const texts[] = { "ace\nbee\ncat\n", " ace\t\r\n\r\nbee\n\ncat", "[\"ace\",\"bee\",\"cat\"]",
                                             "\n [ \"ace\" ,\n\"bee\", \"cat\" ]\n" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_word_list_ WordList l = { 0 };
                _cleanup_error_ Error e = ERROR_INIT;

                cr_assert_eq(word_list_parse("x", texts[i], strlen(texts[i]), &l, &e), 0, "%s", error_text(&e));
                cr_assert_eq(l.n, 3);
                cr_assert_str_eq(l.words[0], "ace");
                cr_assert_str_eq(l.words[1], "bee");
                cr_assert_str_eq(l.words[2], "cat");
        }
}

Test(word_list, hash_is_of_the_text) {
        _cleanup_word_list_ WordList l = { 0 };

        cr_assert_eq(word_list_parse("x", "abc", 3, &l, NULL), 0);
        /* FIPS 180-2, appendix B.1 */
        cr_assert_str_eq(l.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(word_list, what_cannot_be_used_is_refused_and_named) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", "x: there is no word in it" },
                { " \n\n", "x: there is no word in it" },
                { "[]", "x: there is no word in it" },
                { "one\ntwo words\n", "x: line 2 is no usable word" },
                { "one\n\nna\xc3\xafve\n", "x: line 3 is no usable word" },
                { "[\"one\", 2]", "x: element 2 is no usable word" },
                { "[\"one\", \"\"]", "x: element 2 is no usable word" },
                { "[\"a\\u0000b\"]", "x:1: " },
                { "[\"one\"", "x:1: " },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_word_list_ WordList l = { 0 };
                _cleanup_error_ Error e = ERROR_INIT;

                cr_assert_eq(word_list_parse("x", cases[i].text, strlen(cases[i].text), &l, &e), -EBADMSG, "case %zu",
                             i);
                cr_assert_eq(strncmp(error_text(&e), cases[i].expected, strlen(cases[i].expected)), 0, "case %zu: %s",
                             i, error_text(&e));
                cr_assert_eq(l.n, 0);
        }
}

Test(word_list, built_in_lists_are_long_enough_and_without_doubles) {
        _cleanup_word_list_ WordList adjectives = { 0 }, nouns = { 0 };
        WordList *lists[] = { &adjectives, &nouns };

        cr_assert_eq(word_list_parse("adjectives", word_list_builtin_adjectives, strlen(word_list_builtin_adjectives),
                                     &adjectives, NULL),
                     0);
        cr_assert_eq(word_list_parse("nouns", word_list_builtin_nouns, strlen(word_list_builtin_nouns), &nouns, NULL),
                     0);
        cr_assert(adjectives.n >= 150 && nouns.n >= 250);
        for (size_t k = 0; k < ELEMENTSOF(lists); k++)
                for (size_t i = 1; i < lists[k]->n; i++)
                        cr_assert(strcmp(lists[k]->words[i - 1], lists[k]->words[i]) < 0, "%s", lists[k]->words[i]);
}
