// The copy of a topic with librdkafka, exactly once: consume, produce, and the offsets in the same transaction.
//
//   copy BOOTSTRAP SOURCE TARGET PARTITIONS COMMIT_MS CODEC
//
// Every item goes to the partition it came from, with its key and time. It copies what is there when it starts, and ends.

#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AT_ONCE 10000
#define PATIENCE_MS 60000

static void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void must(const char *what, rd_kafka_error_t *error) {
    if (error) die(what, rd_kafka_error_string(error));
}

static void need(const char *what, rd_kafka_resp_err_t code) {
    if (code) die(what, rd_kafka_err2str(code));
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const *settings) {
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (; *settings; settings += 2)
        if (rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof why)) die(settings[0], why);
    rd_kafka_t *made = rd_kafka_new(type, conf, why, sizeof why);
    if (!made) die("librdkafka", why);
    return made;
}

// An item that was not delivered makes the commit fail, so deliveries are not looked at one by one.
static void commit(rd_kafka_t *producer, rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *at) {
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(consumer);
    must("offsets", rd_kafka_send_offsets_to_transaction(producer, at, group, PATIENCE_MS));
    must("commit", rd_kafka_commit_transaction(producer, PATIENCE_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
}

int main(int argc, char **argv) {
    if (argc != 7) die("usage", "copy BOOTSTRAP SOURCE TARGET PARTITIONS COMMIT_MS CODEC");
    const char *brokers = argv[1], *source = argv[2], *target = argv[3];
    int partitions = atoi(argv[4]), commit_ms = atoi(argv[5]);
    // a queue that never fills: one that does is left alone for a second before more is fetched
    const char *const of_consumer[] = {
        "bootstrap.servers", brokers, "group.id", target, "enable.auto.commit", "false",
        "isolation.level", "read_committed", "queued.min.messages", "10000000", "queued.max.messages.kbytes", "1048576", NULL};
    const char *const of_producer[] = {
        "bootstrap.servers", brokers, "transactional.id", target, "compression.codec", argv[6],
        "linger.ms", "20", "batch.size", "262144", "queue.buffering.max.messages", "1000000", NULL};
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, of_consumer);
    rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, of_producer);
    rd_kafka_poll_set_consumer(consumer);
    must("transactions", rd_kafka_init_transactions(producer, PATIENCE_MS));

    rd_kafka_topic_partition_list_t *at = rd_kafka_topic_partition_list_new(partitions);
    int64_t *ends = calloc((size_t)partitions, sizeof *ends);
    int open = 0;
    for (int p = 0; p < partitions; p++) {
        int64_t first;
        need("ends", rd_kafka_query_watermark_offsets(consumer, source, p, &first, &ends[p], PATIENCE_MS));
        rd_kafka_topic_partition_list_add(at, source, p)->offset = first;
        open += first < ends[p];
    }
    need("assign", rd_kafka_assign(consumer, at));

    rd_kafka_topic_t *to = rd_kafka_topic_new(producer, target, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    rd_kafka_message_t **got = malloc(AT_ONCE * sizeof *got);
    int64_t due = 0;
    int begun = 0;
    while (open) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 50, got, AT_ONCE);
        if (n > 0 && !begun) {
            must("begin", rd_kafka_begin_transaction(producer));
            begun = 1;
            due = now_ms() + commit_ms;
        }
        for (ssize_t i = 0; i < n; i++) {
            rd_kafka_message_t *m = got[i];
            if (m->err) die("consume", rd_kafka_message_errstr(m));
            rd_kafka_resp_err_t full;
            while ((full = rd_kafka_producev(
                        producer, RD_KAFKA_V_RKT(to), RD_KAFKA_V_PARTITION(m->partition), RD_KAFKA_V_KEY(m->key, m->key_len),
                        RD_KAFKA_V_VALUE(m->payload, m->len), RD_KAFKA_V_TIMESTAMP(rd_kafka_message_timestamp(m, NULL)),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                rd_kafka_poll(producer, 10);
            need("produce", full);
            rd_kafka_topic_partition_t *place = &at->elems[m->partition];
            place->offset = m->offset + 1;
            open -= place->offset == ends[m->partition];
            rd_kafka_message_destroy(m);
        }
        rd_kafka_poll(producer, 0);
        if (begun && (!open || now_ms() >= due)) {
            commit(producer, consumer, at);
            begun = 0;
        }
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(to);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return 0;
}
