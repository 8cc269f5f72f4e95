#pragma once

/* A TCP relay on an sd-event loop: one local port, every connection handed on to one other loopback port. It gives the
 * mock cluster, whose brokers take any free ports, a bootstrap port that can be chosen. Single-threaded. */

#include <systemd/sd-event.h>

#include "common/util.h"

typedef struct KafkaRelay KafkaRelay;

/* Listens on 127.0.0.1:port (0: any) and relays to 127.0.0.1:target. Returns 0 or a negative errno (-EADDRINUSE). */
int kafka_relay_new(sd_event *event, uint16_t port, uint16_t target, KafkaRelay **ret);
uint16_t kafka_relay_port(const KafkaRelay *r);
/* Closes the listener and every connection. */
KafkaRelay *kafka_relay_free(KafkaRelay *r);
DEFINE_CLEANUP(KafkaRelay, kafka_relay_free)
