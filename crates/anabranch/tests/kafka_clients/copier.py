"""The copier of the hands-on: copier.py BOOTSTRAP FROM TO."""

import sys

from kafka import KafkaConsumer, KafkaProducer

bootstrap, source, target = sys.argv[1:]
consumer = KafkaConsumer(
    source, group_id="group1-of-python", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000
)
producer = KafkaProducer(bootstrap_servers=bootstrap)
for message in consumer:
    producer.send(target, message.value, partition=message.partition)
producer.flush(timeout=30)
producer.close(timeout=30)
consumer.close()
