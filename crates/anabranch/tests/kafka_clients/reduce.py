"""The reduce of the hands-on: pairs two topics, each read by a group of its own. reduce.py BOOTSTRAP LEFT RIGHT TO."""

import sys

from kafka import KafkaConsumer, KafkaProducer

bootstrap, left, right, target = sys.argv[1:]


def consumer(topic: str, group: str) -> KafkaConsumer:
    return KafkaConsumer(
        topic, group_id=group, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000
    )


producer = KafkaProducer(bootstrap_servers=bootstrap)
lefts, rights = consumer(left, "group2-of-python"), consumer(right, "group3-of-python")
for a, b in zip(lefts, rights):
    producer.send(target, a.value + b" " + b.value)
producer.flush(timeout=30)
producer.close(timeout=30)
lefts.close()
rights.close()
