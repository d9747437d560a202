"""Prints all items of a topic: read.py BOOTSTRAP TOPIC read_committed|read_uncommitted."""

import sys

from kafka import KafkaConsumer

bootstrap, topic, isolation = sys.argv[1:]
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=bootstrap,
    auto_offset_reset="earliest",
    isolation_level=isolation,
    consumer_timeout_ms=10_000,
)
for message in consumer:
    sys.stdout.buffer.write(message.value + b"\n")
consumer.close()
