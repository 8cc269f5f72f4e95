/* What becomes of a member of v4/orderExpiry. Expected bytes: orders specification, sections 2.5, 3.1 and 4. */

#include "tests/unit/hex.h"
#include "common/proto/redis_order.pb-c.h"
#include "common/proto/redis_text.h"
#include "workers/orders/expired_order.h"

#define OWNER "dydx1v0rks90786p093z6m632sdml77facea7e88thm"
#define BLOCK 9123456
#define REDIS_ORDER                                                                                                    \
        "0a2431366664343831372d643133652d356264312d393735612d653534376538653363396563124d0a360a2d0a2b647964783176307"  \
        "26b733930373836703039337a366d36333273646d6c373766616365613765383874686d15015ec390c2b22001100218c280c3a4c297"  \
        "c3901220c280c3bec298c3860b28c280c3adc2ac0438021a074554482d55534420012a0433313030320135"
#define MESSAGE                                                                                                        \
        "123c0a360a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c373766616365613765383874686d15015e" \
        "d0b22001100a1802"
#define HASH "8715660cb1a6cb7354a4e25c41a1948ee09136e9ea2b3eb215ee7391272cd91a"

typedef struct Reading {
        ExpiredOrder order;
        Buffer message;
        Error error;
        int result;
} Reading;

static void reading_done(Reading *r) {
        buffer_done(&r->message);
        error_done(&r->error);
}
#define _cleanup_reading_ _cleanup_(reading_done)

static Reading read_text(const void *order, size_t length, const char *data, int64_t cutoff) {
        Reading r = { 0 };

        (void) buffer_append_string(&r.message, "");
        r.result = expired_order_read(order, length, data, strlen(data), cutoff, &r.order, &r.message, &r.error);
        return r;
}

static Reading read_example(const char *data, int64_t cutoff) {
        uint8_t text[256];

        return read_text(text, from_hex(REDIS_ORDER, text), data, cutoff);
}

/* The example's order, which a test changes before it is stored. */
typedef struct Parts {
        Indexer__SubaccountId subaccount;
        Indexer__OrderId id;
        Indexer__Order order;
        Indexer__RedisOrder redis;
} Parts;

static void parts(Parts *p) {
        *p = (Parts){
                .subaccount = INDEXER__SUBACCOUNT_ID__INIT,
                .id = INDEXER__ORDER_ID__INIT,
                .order = INDEXER__ORDER__INIT,
                .redis = INDEXER__REDIS_ORDER__INIT,
        };
        p->subaccount.owner = (ProtobufCBinaryData){ strlen(OWNER), (uint8_t *) OWNER };
        p->id.subaccount_id = &p->subaccount;
        p->id.client_id = 3000000001;
        p->id.clob_pair_id = 1;
        p->order.order_id = &p->id;
        p->order.quantums = 100;
        p->order.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK;
        p->order.good_til_block = BLOCK;
        p->redis.order = &p->order;
}

static Reading read_parts(const Parts *p, const char *data) {
        _cleanup_buffer_ Buffer text = { 0 };
        uint8_t bytes[512];
        size_t n = indexer__redis_order__pack(&p->redis, bytes);

        cr_assert_eq(redis_text_encode(bytes, n, &text), 0);
        return read_text(text.data ?: "", text.length, data, BLOCK);
}

Test(expired_order, worked_example) {
        _cleanup_reading_ Reading r = read_example("9123456_2500000_true", BLOCK);

        cr_assert_eq(r.result, 0, "%s", error_text(&r.error));
        cr_assert(!r.order.newer && !r.order.fully_filled);
        expect_hex(r.order.key, sizeof(r.order.key), HASH);
        expect_hex(r.message.data, r.message.length, MESSAGE);
}

Test(expired_order, one_that_lives_longer_is_left) {
        _cleanup_reading_ Reading equal = read_example("9123456_0_false", BLOCK),
                                  newer = read_example("9123456_0_false", BLOCK - 1),
                                  negative = read_example("9123456_0_false", -5),
                                  broken_data = read_example("", BLOCK - 1);

        cr_assert(equal.result == 0 && !equal.order.newer);
        cr_assert(newer.result == 0 && newer.order.newer);
        cr_assert_eq(newer.message.length, 0);
        cr_assert(negative.result == 0 && negative.order.newer);
        cr_assert(broken_data.result == 0 && broken_data.order.newer);
}

Test(expired_order, fully_filled_is_counted_and_sent) {
        static const struct {
                const char *data;
                bool filled;
        } cases[] = {
                { "1_0_false", false },
                { "1_4999999999_true", false },
                { "1_5000000000_true", true },
                { "1_5000000001_true", true },
                { "1_18446744073709551615_true", true },
                { "1_18446744073709552000_true", true }, /* the double nearest to 2^64 - 1 */
                { "1_99999999999999999999999_true", true },
                { "1_5000000000.5_true", true },
                { "1_many_true", false },
                { "1_-5000000000_true", false },
                { "1_5000000000", true },
                { "_5000000000_", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_reading_ Reading r = read_example(cases[i].data, BLOCK);

                cr_assert_eq(r.result, 0, "%s", cases[i].data);
                cr_assert_eq(r.order.fully_filled, cases[i].filled, "%s", cases[i].data);
                expect_hex(r.message.data, r.message.length, MESSAGE);
        }
}

Test(expired_order, data_without_filled_quantums_is_refused) {
        static const char *const refused[] = { "", "9123456", "9123456_", "9123456__true", "_", "__" };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_reading_ Reading r = read_example(refused[i], BLOCK);

                cr_assert_eq(r.result, -EBADMSG, "%s", refused[i]);
                cr_assert_str_eq(error_text(&r.error), "its order data has no filled quantums");
                cr_assert_eq(r.message.length, 0);
        }
}

static void expect_refused(const Parts *p, const char *text) {
        _cleanup_reading_ Reading r = read_parts(p, "1_0_false");

        cr_assert_eq(r.result, -EBADMSG);
        cr_assert_str_eq(error_text(&r.error), text);
        cr_assert_eq(r.message.length, 0);
}

Test(expired_order, lacking_parts_are_named) {
        Parts p;

        parts(&p);
        p.redis.order = NULL;
        expect_refused(&p, "its value has no order");
        parts(&p);
        p.order.order_id = NULL;
        expect_refused(&p, "its order has no id");
        parts(&p);
        p.id.subaccount_id = NULL;
        expect_refused(&p, "its order's id has no subaccount");
        parts(&p);
        p.subaccount.owner.len = 0;
        expect_refused(&p, "its order's id has no subaccount");
        parts(&p);
        p.order.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF__NOT_SET;
        expect_refused(&p, "its order has no last block");
        parts(&p);
        p.order.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK_TIME;
        expect_refused(&p, "its order has no last block");
}

Test(expired_order, what_is_no_protocol_buffer_is_refused) {
        _cleanup_reading_ Reading cut = read_text("\x0a\x24", 2, "1_0_false", BLOCK),
                                  words = read_text("garbage", 7, "1_0_false", BLOCK),
                                  raw = read_text("\x0a\x01\xd0", 3, "1_0_false", BLOCK),
                                  empty = read_text("", 0, "1_0_false", BLOCK);

        cr_assert_eq(cut.result, -EBADMSG);
        cr_assert_str_eq(error_text(&cut.error), "its value is not a protocol buffer");
        cr_assert_eq(words.result, -EBADMSG);
        cr_assert_eq(raw.result, -EILSEQ);
        cr_assert_not_null(strstr(error_text(&raw.error), "byte 0xd0 at offset 2 of 3"));
        cr_assert_eq(empty.result, -EBADMSG);
        cr_assert_str_eq(error_text(&empty.error), "its value has no order");
}

/* The key and the message are those of the fields that the node knows: an owner with a NUL is not cut, and fields of a
 * later version do not get in. */
Test(expired_order, key_and_message_are_of_known_fields) {
        static uint8_t later[] = { 7 };
        ProtobufCMessageUnknownField unknown = {
                .tag = 9, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = later
        };
        Parts p;

        parts(&p);
        p.id.base.n_unknown_fields = 1;
        p.id.base.unknown_fields = &unknown;
        p.subaccount.base.n_unknown_fields = 1;
        p.subaccount.base.unknown_fields = &unknown;
        {
                _cleanup_reading_ Reading r = read_parts(&p, "1_0_false");

                cr_assert_eq(r.result, 0, "%s", error_text(&r.error));
                expect_hex(r.order.key, sizeof(r.order.key), HASH);
                expect_hex(r.message.data, r.message.length, MESSAGE);
        }
        parts(&p);
        p.subaccount.owner = (ProtobufCBinaryData){ 3, (uint8_t *) "a\0b" };
        {
                _cleanup_reading_ Reading r = read_parts(&p, "1_0_false");

                expect_hex(r.message.data, r.message.length, "12140a0e0a050a0361006215015ed0b22001100a1802");
        }
}

Test(expired_order, degenerate_id) {
        static const char owner[] = "dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn";
        Parts p;

        parts(&p);
        p.subaccount.owner = (ProtobufCBinaryData){ strlen(owner), (uint8_t *) owner };
        p.id.client_id = p.id.clob_pair_id = 0;
        p.order.good_til_block = 0;
        _cleanup_reading_ Reading r = read_parts(&p, "0_0_false");

        cr_assert_eq(r.result, 0);
        cr_assert_eq(r.message.length, 55);
        expect_hex(r.order.key, sizeof(r.order.key),
                   "b2896f7929b41394cc5b81d2ceea8d8f733cb6f77360f8b7c001ac02d5123370");
        expect_hex(r.message.data, r.message.length,
                   "12350a2f0a2d0a2b64796478316c6a34746c6663336a6d747361393967707776756e657a333771796579363465796b327a"
                   "646e100a1802");
}
