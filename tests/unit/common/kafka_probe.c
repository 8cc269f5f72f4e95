/* What the tests with a real broker drive: one producer, configured by the environment as a worker is. Commands are
 * JSON objects on stdin, one a line, each answered by one.
 *
 *   {"verb": "send", "messages": [{"topic": T, "key": HEX, "text": TEXT} | {…, "size": N}], "deadline": MSEC, "cancel":
 * MSEC}
 *   {"verb": "ask", "msec": MSEC}                     the brokers' answer to kafka_probe()
 *   {"verb": "fatal"}                                 the client meets a fatal error
 *   {"verb": "begin", "topic": T, "threads": N}       threads that send numbered messages one after the other
 *   {"verb": "end"}                                   … until here: which were acknowledged, which are uncertain
 */

#include <jansson.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/kafka_internal.h"

#define THREADS_MAX 8
#define PAUSE_USEC (2 * USEC_PER_MSEC)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char states[256], state_text[1024];
static KafkaProducer *producer;

typedef struct Sender {
        pthread_t thread;
        unsigned number;
        char topic[128];
        json_t *sure, *unsure; /* texts */
        size_t failed;
} Sender;
static Sender senders[THREADS_MAX];
static size_t n_senders;
static bool ended;

static void on_state(const Error *error, void *userdata) {
        (void) userdata;
        (void) pthread_mutex_lock(&mutex);
        if (strlen(states) + 1 < sizeof(states))
                states[strlen(states)] = error ? '-' : '+';
        (void) snprintf(state_text, sizeof(state_text), "%s\n%s", error ? error_text(error) : "up",
                        error && error->hint ? error->hint : "");
        (void) pthread_mutex_unlock(&mutex);
}

/* Two hexadecimal digits a byte. */
static size_t from_hex(const char *text, unsigned char *ret, size_t size) {
        size_t n = 0;
        unsigned byte;

        for (; n < size && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
                ret[n] = (unsigned char) byte;
        return n;
}

typedef struct Later {
        pthread_t thread;
        CancelToken *token;
        uint64_t usec;
} Later;

static void *cancel_later(void *userdata) {
        Later *l = userdata;

        (void) cancel_token_poll(NULL, -1, 0, l->usec);
        cancel_token_cancel(l->token, CANCEL_REQUEST);
        return NULL;
}

static int send_list(const json_t *list, CancelToken *token, json_t *reply, Error *reterr) {
        size_t n = json_array_size(list);
        KafkaMessage *messages = calloc(n, sizeof(*messages));
        unsigned char(*keys)[64] = calloc(n, sizeof(*keys));
        char **values = calloc(n, sizeof(*values));
        bool *delivered = calloc(n, sizeof(*delivered));
        json_t *told = json_array();
        int r;

        for (size_t i = 0; i < n; i++) {
                const json_t *item = json_array_get(list, i);
                const char *key = json_string_value(json_object_get(item, "key"));
                const char *text = json_string_value(json_object_get(item, "text"));
                size_t size = (size_t) json_integer_value(json_object_get(item, "size"));

                values[i] = text ? strdup(text) : calloc(1, size + 1);
                messages[i] = (KafkaMessage){ .topic = json_string_value(json_object_get(item, "topic")),
                                              .key = key ? keys[i] : NULL,
                                              .key_length = key ? from_hex(key, keys[i], sizeof(keys[i])) : 0,
                                              .value = values[i],
                                              .value_length = text ? strlen(text) : size };
        }
        r = kafka_send(producer, messages, n, token, delivered, reterr);
        for (size_t i = 0; i < n; i++) {
                (void) json_array_append_new(told, json_boolean(delivered[i]));
                free(values[i]);
        }
        (void) json_object_set_new(reply, "delivered", told);
        free(values);
        free(keys);
        free(messages);
        free(delivered);
        return r;
}

static int verb_send(const json_t *command, json_t *reply, Error *reterr) {
        uint64_t deadline = (uint64_t) json_integer_value(json_object_get(command, "deadline"));
        uint64_t cancel = (uint64_t) json_integer_value(json_object_get(command, "cancel"));
        Later later = { .usec = cancel * USEC_PER_MSEC };
        int r;

        if (cancel_token_new(&later.token) < 0)
                return -ENOMEM;
        if (deadline > 0)
                cancel_token_set_deadline(later.token, clock_monotonic_usec() + deadline * USEC_PER_MSEC);
        if (cancel > 0)
                (void) pthread_create(&later.thread, NULL, cancel_later, &later);
        r = send_list(json_object_get(command, "messages"), later.token, reply, reterr);
        if (cancel > 0)
                (void) pthread_join(later.thread, NULL);
        (void) cancel_token_free(later.token);
        return r;
}

static bool must_end(void) {
        bool end;

        (void) pthread_mutex_lock(&mutex);
        end = ended;
        (void) pthread_mutex_unlock(&mutex);
        return end;
}

static void *send_numbered(void *userdata) {
        Sender *s = userdata;
        char text[64];

        for (unsigned i = 0; !must_end(); i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                KafkaMessage m = { .topic = s->topic, .value = text };
                int r;

                (void) snprintf(text, sizeof(text), "%u-%u", s->number, i);
                m.value_length = strlen(text);
                r = kafka_send(producer, &m, 1, NULL, NULL, &e);
                if (r >= 0)
                        (void) json_array_append_new(s->sure, json_string(text));
                else if (e.kind == ERROR_UNCERTAIN)
                        (void) json_array_append_new(s->unsure, json_string(text));
                else
                        s->failed++;
                (void) cancel_token_poll(NULL, -1, 0, PAUSE_USEC);
        }
        return NULL;
}

static int verb_begin(const json_t *command) {
        n_senders = (size_t) json_integer_value(json_object_get(command, "threads"));
        if (n_senders > THREADS_MAX)
                return -E2BIG;
        ended = false;
        for (unsigned i = 0; i < n_senders; i++) {
                senders[i] = (Sender){ .number = i, .sure = json_array(), .unsure = json_array() };
                (void) snprintf(senders[i].topic, sizeof(senders[i].topic), "%s",
                                json_string_value(json_object_get(command, "topic")));
                (void) pthread_create(&senders[i].thread, NULL, send_numbered, &senders[i]);
        }
        return 0;
}

static int verb_end(json_t *reply) {
        json_t *sure = json_array(), *unsure = json_array();
        size_t failed = 0;

        (void) pthread_mutex_lock(&mutex);
        ended = true;
        (void) pthread_mutex_unlock(&mutex);
        for (size_t i = 0; i < n_senders; i++) {
                (void) pthread_join(senders[i].thread, NULL);
                (void) json_array_extend(sure, senders[i].sure);
                (void) json_array_extend(unsure, senders[i].unsure);
                failed += senders[i].failed;
                json_decref(senders[i].sure);
                json_decref(senders[i].unsure);
        }
        n_senders = 0;
        (void) json_object_set_new(reply, "sure", sure);
        (void) json_object_set_new(reply, "unsure", unsure);
        (void) json_object_set_new(reply, "failed", json_integer((json_int_t) failed));
        return 0;
}

static int dispatch(const json_t *command, json_t *reply, Error *reterr) {
        const char *verb = json_string_value(json_object_get(command, "verb"));

        if (str_eq(verb, "send"))
                return verb_send(command, reply, reterr);
        if (str_eq(verb, "begin"))
                return verb_begin(command);
        if (str_eq(verb, "end"))
                return verb_end(reply);
        if (str_eq(verb, "ask"))
                return kafka_probe(producer,
                                   (uint64_t) json_integer_value(json_object_get(command, "msec")) * USEC_PER_MSEC,
                                   reterr);
        if (str_eq(verb, "fatal"))
                return (int) rd_kafka_test_fatal_error(producer->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                                                       "a test");
        return error_set(reterr, ERROR_NEVER, -EINVAL, "unknown verb");
}

static void answer(json_t *reply, int r, const Error *e) {
        char *text;

        (void) json_object_set_new(reply, "r", json_integer(r));
        (void) json_object_set_new(reply, "kind", json_string(error_kind_to_string(e->kind)));
        (void) json_object_set_new(reply, "text", json_string(e->text ? e->text : ""));
        (void) json_object_set_new(reply, "hint", json_string(e->hint ? e->hint : ""));
        (void) pthread_mutex_lock(&mutex);
        (void) json_object_set_new(reply, "states", json_string(states));
        (void) json_object_set_new(reply, "state", json_string(state_text));
        (void) pthread_mutex_unlock(&mutex);
        text = json_dumps(reply, JSON_COMPACT);
        (void) printf("%s\n", text);
        (void) fflush(stdout);
        free(text);
}

int main(void) {
        static const FamilyManifest *const manifests[] = { NULL };
        SettingsSource source = { .conf_dir = "/nonexistent", .environ = (const char *const *) environ };
        _cleanup_settings_ Settings *settings = NULL;
        SettingsProblems problems = { 0 };
        Error e = ERROR_INIT;
        char *line = NULL;
        size_t size = 0;
        json_t *reply;
        int r;

        if (settings_load(&source, manifests, &settings, &problems) < 0) {
                char *text = settings_problems_format(&problems);

                (void) fputs(text, stderr);
                free(text);
                settings_problems_done(&problems);
                return 78;
        }
        settings_problems_done(&problems);
        r = kafka_producer_new(settings, on_state, NULL, &producer, &e);
        reply = json_object();
        answer(reply, r, &e);
        json_decref(reply);
        error_done(&e);
        if (r < 0)
                return 1;
        while (getline(&line, &size, stdin) > 0) {
                json_t *command = json_loads(line, 0, NULL);

                e = ERROR_INIT;
                reply = json_object();
                r = dispatch(command, reply, &e);
                answer(reply, r, &e);
                json_decref(reply);
                json_decref(command);
                error_done(&e);
        }
        (void) kafka_producer_close(producer, USEC_PER_SEC, NULL);
        free(line);
        return 0;
}
