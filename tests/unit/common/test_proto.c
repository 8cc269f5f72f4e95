/* UUIDs, order ids, messages and the text form in Redis, byte for byte. Expected values: orders specification, sections
 * 1.1, 2.5, 3.1 and 6. */

#include "common/proto/off_chain_updates.pb-c.h"
#include "common/proto/order_id.h"
#include "common/proto/redis_order.pb-c.h"
#include "common/proto/redis_text.h"
#include "common/proto/uuid_v5.h"
#include "tests/unit/hex.h"

#define OWNER "dydx1v0rks90786p093z6m632sdml77facea7e88thm"
#define OTHER "dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn"
#define ID_HEX                                                                                                         \
        "0a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c373766616365613765383874686d15015ed0b22001"
#define DEGENERATE_HEX "0a2d0a2b64796478316c6a34746c6663336a6d747361393967707776756e657a333771796579363465796b327a646e"
#define REDIS_ORDER_HEAD                                                                                               \
        "0a2431366664343831372d643133652d356264312d393735612d653534376538653363396563124d0a360a2d0a2b647964783176307"  \
        "26b733930373836703039337a366d36333273646d6c373766616365613765383874686d15015e"
#define REDIS_ORDER_TAIL "0438021a074554482d55534420012a0433313030320135"
#define REDIS_ORDER_HEX REDIS_ORDER_HEAD "d0b2200110021880e497d0122080fe98c60b2880edac" REDIS_ORDER_TAIL
#define REDIS_ORDER_TEXT                                                                                               \
        REDIS_ORDER_HEAD "c390c2b22001100218c280c3a4c297c3901220c280c3bec298c3860b28c280c3adc2ac" REDIS_ORDER_TAIL

static Indexer__SubaccountId subaccount(const char *owner, uint32_t number) {
        Indexer__SubaccountId s = INDEXER__SUBACCOUNT_ID__INIT;

        s.owner = (ProtobufCBinaryData){ strlen(owner), (uint8_t *) owner };
        s.number = number;
        return s;
}

static Indexer__OrderId order_id(Indexer__SubaccountId *s, uint32_t client_id, uint32_t clob_pair_id, uint32_t flags) {
        Indexer__OrderId id = INDEXER__ORDER_ID__INIT;

        id.subaccount_id = s;
        id.client_id = client_id;
        id.clob_pair_id = clob_pair_id;
        id.order_flags = flags;
        return id;
}

static void expect_message(const ProtobufCMessage *m, const char *expected) {
        uint8_t bytes[512];

        cr_assert_leq(protobuf_c_message_get_packed_size(m), sizeof(bytes));
        expect_hex(bytes, protobuf_c_message_pack(m, bytes), expected);
}

Test(uuid_v5, of_the_dns_namespace) {
        /* RFC 4122's namespace for host names, and a name whose UUID is printed in Python's documentation */
        static const uint8_t dns[16] = { 0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                         0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8 };
        char uuid[UUID_TEXT_SIZE];

        cr_assert_eq(uuid_v5(dns, "python.org", 10, uuid), 0);
        cr_assert_str_eq(uuid, "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

Test(order_id, uuids) {
        static const struct {
                const char *owner;
                uint32_t number, client_id, clob_pair_id, flags;
                const char *subaccount, *order;
        } rows[] = {
                { OWNER, 0, 3000000001, 1, 0, "29f099e7-98b0-5b8b-835a-20287cde4742",
                  "16fd4817-d13e-5bd1-975a-e547e8e3c9ec" },
                { OTHER, 128, 77, 0, 64, "f813bce9-5954-5e73-9621-e39d04f7f848",
                  "32c6bb72-ac46-548f-912e-83149a9406a8" },
                { OTHER, 0, 0, 0, 0, "f7221f44-a9db-5e67-b0ac-520fc68fd06e", "741c5052-a895-5aec-ab31-b83739232582" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Indexer__SubaccountId s = subaccount(rows[i].owner, rows[i].number);
                Indexer__OrderId id = order_id(&s, rows[i].client_id, rows[i].clob_pair_id, rows[i].flags);
                char uuid[UUID_TEXT_SIZE];

                cr_assert_eq(subaccount_uuid(rows[i].owner, strlen(rows[i].owner), rows[i].number, uuid), 0);
                cr_assert_str_eq(uuid, rows[i].subaccount);
                cr_assert_eq(order_uuid(&id, uuid), 0);
                cr_assert_str_eq(uuid, rows[i].order);
        }
}

Test(order_id, without_subaccount_has_no_uuid) {
        Indexer__OrderId id = INDEXER__ORDER_ID__INIT;
        char uuid[UUID_TEXT_SIZE];

        cr_assert_eq(order_uuid(&id, uuid), -EINVAL);
}

Test(order_id, encoding_and_hash) {
        Indexer__SubaccountId s = subaccount(OWNER, 0), t = subaccount(OTHER, 0);
        Indexer__OrderId id = order_id(&s, 3000000001, 1, 0), degenerate = order_id(&t, 0, 0, 0);
        uint8_t hash[ORDER_ID_HASH_SIZE];

        expect_message(&id.base, ID_HEX);
        cr_assert_eq(order_id_hash(&id, hash), 0);
        expect_hex(hash, sizeof(hash), "8715660cb1a6cb7354a4e25c41a1948ee09136e9ea2b3eb215ee7391272cd91a");
        expect_message(&degenerate.base, DEGENERATE_HEX);
        cr_assert_eq(order_id_hash(&degenerate, hash), 0);
        expect_hex(hash, sizeof(hash), "b2896f7929b41394cc5b81d2ceea8d8f733cb6f77360f8b7c001ac02d5123370");
}

/* An owner that does not fit a small buffer on the stack is hashed as well. */
Test(order_id, hash_of_a_long_owner) {
        char owner[1001];
        uint8_t hash[ORDER_ID_HASH_SIZE];

        memset(owner, 'a', 1000);
        owner[1000] = '\0';
        Indexer__SubaccountId s = subaccount(owner, 0);
        Indexer__OrderId id = order_id(&s, 0, 0, 0);

        cr_assert_eq(order_id_hash(&id, hash), 0);
        /* SHA-256 of 0a eb 07 0a e8 07 and a thousand letters */
        expect_hex(hash, sizeof(hash), "e1b1f67e52971ba79599316f7fc527297a86bfe22bad07db94885dd60f5357e4");
}

Test(messages, removal_of_an_expired_order) {
        Indexer__SubaccountId s = subaccount(OWNER, 0), t = subaccount(OTHER, 0);
        Indexer__OrderId id = order_id(&s, 3000000001, 1, 0), degenerate = order_id(&t, 0, 0, 0);
        Indexer__OrderRemove removal = INDEXER__ORDER_REMOVE__INIT;
        Indexer__OffChainUpdate update = INDEXER__OFF_CHAIN_UPDATE__INIT;

        removal.reason = INDEXER__ORDER_REMOVAL_REASON__ORDER_REMOVAL_REASON_INDEXER_EXPIRED;
        removal.removal_status = INDEXER__ORDER_REMOVE__STATUS__ORDER_REMOVAL_STATUS_CANCELED;
        update.update_message_case = INDEXER__OFF_CHAIN_UPDATE__UPDATE_MESSAGE_ORDER_REMOVE;
        update.order_remove = &removal;
        removal.removed_order_id = &id;
        expect_message(&update.base, "123c0a36" ID_HEX "100a1802");
        removal.removed_order_id = &degenerate;
        expect_message(&update.base, "12350a2f" DEGENERATE_HEX "100a1802");
}

Test(messages, redis_order_both_ways) {
        uint8_t bytes[256];
        size_t n = from_hex(REDIS_ORDER_HEX, bytes);
        Indexer__RedisOrder *o = indexer__redis_order__unpack(NULL, n, bytes);
        char uuid[UUID_TEXT_SIZE];

        cr_assert_eq(n, 137);
        cr_assert_not_null(o);
        cr_assert_eq(o->order->side, INDEXER__ORDER__SIDE__SIDE_SELL);
        cr_assert_eq(o->order->quantums, 5000000000);
        cr_assert_eq(o->order->subticks, 3100000000);
        cr_assert_eq(o->order->good_til_oneof_case, INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK);
        cr_assert_eq(o->order->good_til_block, 9123456);
        cr_assert_eq(o->order->time_in_force, INDEXER__ORDER__TIME_IN_FORCE__TIME_IN_FORCE_POST_ONLY);
        cr_assert_eq(o->ticker_type, INDEXER__REDIS_ORDER__TICKER_TYPE__TICKER_TYPE_PERPETUAL);
        cr_assert(o->ticker.len == 7 && memcmp(o->ticker.data, "ETH-USD", 7) == 0);
        cr_assert(o->price.len == 4 && memcmp(o->price.data, "3100", 4) == 0);
        cr_assert(o->size.len == 1 && o->size.data[0] == '5');
        cr_assert_eq(order_uuid(o->order->order_id, uuid), 0);
        cr_assert(o->id.len == strlen(uuid) && memcmp(o->id.data, uuid, o->id.len) == 0);
        expect_message(&o->base, REDIS_ORDER_HEX);
        indexer__redis_order__free_unpacked(o, NULL);
}

Test(messages, good_til_block_of_zero_is_written_when_set) {
        Indexer__Order o = INDEXER__ORDER__INIT;

        o.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK;
        expect_message(&o.base, "2800");
        o.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK_TIME;
        expect_message(&o.base, "3500000000");
        o.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF__NOT_SET;
        expect_message(&o.base, "");
}

Test(messages, every_field_of_an_order_has_its_number) {
        Indexer__BuilderCodeParameters builder = INDEXER__BUILDER_CODE_PARAMETERS__INIT;
        Indexer__TwapParameters twap = INDEXER__TWAP_PARAMETERS__INIT;
        Indexer__OrderId id = INDEXER__ORDER_ID__INIT;
        Indexer__Order o = INDEXER__ORDER__INIT;

        builder.builder_address = (ProtobufCBinaryData){ 1, (uint8_t *) "b" };
        builder.fee_ppm = 2;
        twap.duration = 3;
        twap.interval = 4;
        twap.price_tolerance = 5;
        id.order_flags = 64;
        o.order_id = &id;
        o.side = INDEXER__ORDER__SIDE__SIDE_BUY;
        o.quantums = 1;
        o.subticks = 2;
        o.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK_TIME;
        o.good_til_block_time = 1;
        o.time_in_force = INDEXER__ORDER__TIME_IN_FORCE__TIME_IN_FORCE_FILL_OR_KILL;
        o.reduce_only = true;
        o.client_metadata = 9;
        o.condition_type = INDEXER__ORDER__CONDITION_TYPE__CONDITION_TYPE_TAKE_PROFIT;
        o.conditional_order_trigger_subticks = 11;
        o.builder_code_params = &builder;
        o.order_router_address = (ProtobufCBinaryData){ 1, (uint8_t *) "r" };
        o.twap_parameters = &twap;
        expect_message(&o.base,
                       "0a02184010011801200235010000003803400148095002580b62050a016210026a01727206080310041805");
}

Test(messages, place_update_replace) {
        Indexer__Timestamp time = INDEXER__TIMESTAMP__INIT;
        Indexer__Order order = INDEXER__ORDER__INIT;
        Indexer__OrderId id = INDEXER__ORDER_ID__INIT;
        Indexer__OrderPlace place = INDEXER__ORDER_PLACE__INIT;
        Indexer__OrderReplace replace = INDEXER__ORDER_REPLACE__INIT;
        Indexer__OrderUpdate update = INDEXER__ORDER_UPDATE__INIT;
        Indexer__OffChainUpdate m = INDEXER__OFF_CHAIN_UPDATE__INIT;

        time.seconds = 1;
        time.nanos = 2;
        order.quantums = 7;
        id.client_id = 1;
        place.order = &order;
        place.placement_status = INDEXER__ORDER_PLACE__STATUS__ORDER_PLACEMENT_STATUS_OPENED;
        place.time_stamp = &time;
        m.update_message_case = INDEXER__OFF_CHAIN_UPDATE__UPDATE_MESSAGE_ORDER_PLACE;
        m.order_place = &place;
        expect_message(&m.base, "0a0c0a02180710021a0408011002");
        update.order_id = &id;
        update.total_filled_quantums = 300;
        m.update_message_case = INDEXER__OFF_CHAIN_UPDATE__UPDATE_MESSAGE_ORDER_UPDATE;
        m.order_update = &update;
        expect_message(&m.base, "1a0a0a05150100000010ac02");
        replace.old_order_id = &id;
        replace.order = &order;
        replace.placement_status = INDEXER__ORDER_PLACE__STATUS__ORDER_PLACEMENT_STATUS_BEST_EFFORT_OPENED;
        replace.time_stamp = &time;
        m.update_message_case = INDEXER__OFF_CHAIN_UPDATE__UPDATE_MESSAGE_ORDER_REPLACE;
        m.order_replace = &replace;
        expect_message(&m.base, "22130a051501000000120218071801220408011002");
}

static void expect_text(const char *bytes_hex, const char *text_hex) {
        uint8_t bytes[512], text[512];
        size_t n = from_hex(bytes_hex, bytes), m = from_hex(text_hex, text);
        _cleanup_buffer_ Buffer encoded = { 0 }, decoded = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(redis_text_encode(bytes, n, &encoded), 0);
        expect_hex(encoded.data, encoded.length, text_hex);
        cr_assert_eq(redis_text_decode(text, m, &decoded, &e), 0);
        expect_hex(decoded.data, decoded.length, bytes_hex);
}

Test(redis_text, examples) {
        expect_text("0a7f80ffc30031", "0a7fc280c3bfc3830031");
        expect_text(REDIS_ORDER_HEX, REDIS_ORDER_TEXT);
        expect_text("0a36" ID_HEX "10a0cb9801",
                    "0a360a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c373766616365613765383874686d"
                    "15015ec390c2b2200110c2a0c38bc29801");
}

Test(redis_text, every_byte_both_ways) {
        _cleanup_buffer_ Buffer encoded = { 0 }, decoded = { 0 };
        uint8_t all[256];

        for (size_t i = 0; i < sizeof(all); i++)
                all[i] = (uint8_t) i;
        cr_assert_eq(redis_text_encode(all, sizeof(all), &encoded), 0);
        cr_assert_eq(encoded.length, 128 + 2 * 128);
        cr_assert_eq(redis_text_decode(encoded.data, encoded.length, &decoded, NULL), 0);
        cr_assert(decoded.length == sizeof(all) && memcmp(decoded.data, all, sizeof(all)) == 0);
}

Test(redis_text, nothing_else_is_read) {
        static const struct {
                const char *hex;
                size_t offset;
        } refused[] = {
                { "6180", 1 },                      /* a continuation alone */
                { "61c2", 1 },                      /* cut off */
                { "c27f", 0 },                      /* no continuation */
                { "c2c2", 0 },     { "c080", 0 },   /* overlong U+0000 */
                { "c1bf", 0 },                      /* overlong U+007F */
                { "c3bfc480", 2 },                  /* U+0100 */
                { "e282ac", 0 },                    /* U+20AC */
                { "f09f9880", 0 },                  /* U+1F600 */
                { "ff", 0 },       { "0ad0b2", 1 }, /* raw protobuf */
        };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_buffer_ Buffer decoded = { 0 };
                _cleanup_error_ Error e = ERROR_INIT;
                _cleanup_free_ char *offset = str_printf("offset %zu of", refused[i].offset);
                uint8_t text[16];
                size_t n = from_hex(refused[i].hex, text);

                (void) buffer_append_string(&decoded, "kept");
                cr_assert_eq(redis_text_decode(text, n, &decoded, &e), -EILSEQ, "%s", refused[i].hex);
                cr_assert_not_null(strstr(error_text(&e), offset), "%s: %s", refused[i].hex, error_text(&e));
                cr_assert_str_eq(decoded.data, "kept");
        }
}
