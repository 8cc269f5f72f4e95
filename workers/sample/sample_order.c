#include <inttypes.h>
#include <stdio.h>

#include "common/proto/off_chain_updates.pb-c.h"
#include "common/proto/order_id.h"
#include "common/proto/redis_order.pb-c.h"
#include "common/proto/redis_text.h"
#include "sql/statements.h"
#include "workers/sample/sample_order.h"

#define LONG_TERM 64

static ProtobufCBinaryData text(const char *s) {
        return (ProtobufCBinaryData){ strlen(s), (uint8_t *) s };
}

/* The order's id, in the places given. */
static void make_id(const SampleOrder *o, Indexer__SubaccountId *subaccount, Indexer__OrderId *id) {
        *subaccount = (Indexer__SubaccountId) INDEXER__SUBACCOUNT_ID__INIT;
        *id = (Indexer__OrderId) INDEXER__ORDER_ID__INIT;
        subaccount->owner = text(o->owner);
        subaccount->number = o->number;
        id->subaccount_id = subaccount;
        id->client_id = o->client_id;
        id->clob_pair_id = o->clob_pair_id;
}

int sample_order_read(const PGresult *rows, int row, SampleOrder *ret) {
        Indexer__SubaccountId subaccount;
        Indexer__OrderId id;

        *ret = (SampleOrder){
                .subaccount = PQgetvalue(rows, row, 0),
                .owner = PQgetvalue(rows, row, 1),
                .number = (uint32_t) strtoul(PQgetvalue(rows, row, 2), NULL, 10),
                .client = PQgetvalue(rows, row, 3),
                .client_id = (uint32_t) strtoul(PQgetvalue(rows, row, 3), NULL, 10),
                .clob_pair = PQgetvalue(rows, row, 4),
                .clob_pair_id = (uint32_t) strtoul(PQgetvalue(rows, row, 4), NULL, 10),
                .ticker = PQgetvalue(rows, row, 5),
                .side = PQgetvalue(rows, row, 6),
                .quantums = strtoull(PQgetvalue(rows, row, 7), NULL, 10),
                .subticks = strtoull(PQgetvalue(rows, row, 8), NULL, 10),
                .size = PQgetvalue(rows, row, 9),
                .price = PQgetvalue(rows, row, 10),
                .block = PQgetvalue(rows, row, 11),
                .good_til_block = (uint32_t) strtoul(PQgetvalue(rows, row, 11), NULL, 10),
        };
        make_id(ret, &subaccount, &id);
        return order_uuid(&id, ret->uuid);
}

/* Adds "command key [field] value", the value being the message's text form. */
static int add_message(RedisPipeline *p, const char *command, const char *key, const char *field,
                       const ProtobufCMessage *m) {
        size_t size = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = malloc(size + 1);
        _cleanup_buffer_ Buffer value = { 0 };
        const char *argv[4] = { command, key };
        size_t lengths[4] = { strlen(command), strlen(key) }, argc = 2;

        if (!bytes)
                return -ENOMEM;
        (void) protobuf_c_message_pack(m, bytes);
        if (redis_text_encode(bytes, size, &value) < 0)
                return -ENOMEM;
        if (field) {
                argv[argc] = field;
                lengths[argc++] = strlen(field);
        }
        argv[argc] = value.data ?: "";
        lengths[argc++] = value.length;
        return redis_pipeline_add(p, argc, argv, lengths);
}

int sample_order_place(const SampleOrder *o, RedisPipeline *p) {
        _cleanup_free_ char *key = str_printf("v4/orders/%s", o->uuid),
                            *data_key = str_printf("v4/orderData/%s", o->uuid),
                            *data = str_printf("%s_0_false", o->block);
        Indexer__SubaccountId subaccount;
        Indexer__OrderId id;
        Indexer__Order order = INDEXER__ORDER__INIT;
        Indexer__RedisOrder redis = INDEXER__REDIS_ORDER__INIT;
        int r;

        if (!key || !data_key || !data)
                return -ENOMEM;
        make_id(o, &subaccount, &id);
        order.order_id = &id;
        order.side = str_eq(o->side, "BUY") ? INDEXER__ORDER__SIDE__SIDE_BUY : INDEXER__ORDER__SIDE__SIDE_SELL;
        order.quantums = o->quantums;
        order.subticks = o->subticks;
        order.good_til_oneof_case = INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK;
        order.good_til_block = o->good_til_block;
        order.time_in_force = INDEXER__ORDER__TIME_IN_FORCE__TIME_IN_FORCE_POST_ONLY;
        redis.id = text(o->uuid);
        redis.order = &order;
        redis.ticker = text(o->ticker);
        redis.ticker_type = INDEXER__REDIS_ORDER__TICKER_TYPE__TICKER_TYPE_PERPETUAL;
        redis.price = text(o->price);
        redis.size = text(o->size);
        r = add_message(p, "SET", key, NULL, &redis.base);
        if (r >= 0)
                r = redis_pipeline_addv(p, "SET", data_key, data, NULL);
        if (r >= 0)
                r = redis_pipeline_addv(p, "ZADD", "v4/orderExpiry", o->block, o->uuid, NULL);
        return r;
}

int sample_order_park(const SampleOrder *o, uint64_t now_msec, RedisPipeline *p) {
        Indexer__SubaccountId subaccount;
        Indexer__OrderId id;
        Indexer__OrderUpdate update = INDEXER__ORDER_UPDATE__INIT;
        char uuid[UUID_TEXT_SIZE], score[24];
        int r;

        make_id(o, &subaccount, &id);
        id.order_flags = LONG_TERM;
        r = order_uuid(&id, uuid);
        if (r < 0)
                return r;
        update.order_id = &id;
        update.total_filled_quantums = o->quantums / 2;
        (void) snprintf(score, sizeof(score), "%" PRIu64, now_msec);
        r = redis_pipeline_addv(p, "ZADD", "v4/stateful_order_update_ids", score, uuid, NULL);
        return r < 0 ? r : add_message(p, "HSET", "v4/stateful_order_updates", uuid, &update.base);
}

int sample_orders_insert(SampleContext *s, const PGresult *rows, Error *reterr) {
        PgArray arrays[8] = { 0 };
        const char *params[ELEMENTSOF(arrays) + 1];
        bool complete = true;
        SampleOrder o;
        int r = 0;

        for (int i = 0; r >= 0 && i < PQntuples(rows); i++) {
                r = sample_order_read(rows, i, &o);
                if (r < 0)
                        break;
                pg_array_append(&arrays[0], o.uuid);
                pg_array_append(&arrays[1], o.subaccount);
                pg_array_append(&arrays[2], o.client);
                pg_array_append(&arrays[3], o.clob_pair);
                pg_array_append(&arrays[4], o.side);
                pg_array_append(&arrays[5], o.size);
                pg_array_append(&arrays[6], o.price);
                pg_array_append(&arrays[7], o.block);
        }
        for (size_t i = 0; i < ELEMENTSOF(arrays); i++) {
                params[i] = pg_array_text(&arrays[i]);
                complete = complete && params[i];
        }
        params[ELEMENTSOF(arrays)] = s->now;
        if (r < 0 || !complete)
                r = error_set(reterr, ERROR_RETRY, r < 0 ? r : -ENOMEM, "cannot make orders");
        else
                r = sample_query(s, &sql_sample_insert_orders, ELEMENTSOF(params), params, NULL, reterr);
        for (size_t i = 0; i < ELEMENTSOF(arrays); i++)
                pg_array_done(&arrays[i]);
        return r;
}
