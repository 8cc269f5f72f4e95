/* Providers that need nobody, and what all share. */

#include "workers/compliance/screening.h"

const ScreeningProvider *screening_provider_find(const char *name, bool *ret_known) {
        static const ScreeningProvider *const providers[] = { &screening_elliptic, &screening_placeholder,
                                                              &screening_blocklist };

        for (size_t i = 0; i < ELEMENTSOF(providers); i++)
                if (str_eq(name, providers[i]->name)) {
                        *ret_known = true;
                        return providers[i];
                }
        *ret_known = false;
        return &screening_elliptic;
}

void screening_items_reset(ScreeningItem *items, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(items[i].failure);
                items[i] = (ScreeningItem){ .address = items[i].address };
        }
}

void screening_item_fail(ScreeningItem *item, const char *format, ...) {
        va_list ap;

        if (item->failure)
                return;
        va_start(ap, format);
        item->failure = str_vprintf(format, ap);
        va_end(ap);
        if (!item->failure)
                item->failure = strdup("out of memory");
}

static int screen_placeholder(_unused_ TaskContext *ctx, ScreeningBatch *batch, _unused_ Error *reterr) {
        for (size_t i = 0; i < batch->n; i++) {
                ScreeningItem *item = &batch->items[i];
                size_t length = strlen(item->address);
                char last = length > 0 ? item->address[length - 1] : '\0';

                item->answered = true;
                item->blocked = item->has_score = last >= 'b' && last <= 'l';
                item->score = item->blocked ? 75 : 0;
        }
        return 0;
}

/* Whether `address` is an element of the comma-separated list, exactly: nothing is trimmed. */
static bool list_has(const char *list, const char *address) {
        size_t length = strlen(address);

        for (const char *item = list ? list : "";; item++) {
                size_t n = strcspn(item, ",");

                if (n == length && memcmp(item, address, n) == 0)
                        return true;
                item += n;
                if (!*item)
                        return false;
        }
}

static int screen_blocklist(TaskContext *ctx, ScreeningBatch *batch, _unused_ Error *reterr) {
        const char *list = settings_string(task_settings(ctx), "compliance.screening.blocked_addresses");

        for (size_t i = 0; i < batch->n; i++) {
                batch->items[i].answered = true;
                batch->items[i].blocked = list_has(list, batch->items[i].address);
        }
        return 0;
}

const ScreeningProvider screening_placeholder = { .name = "PLACEHOLDER", .scores = true, .screen = screen_placeholder };
const ScreeningProvider screening_blocklist = { .name = "BLOCKLIST", .scores = false, .screen = screen_blocklist };
