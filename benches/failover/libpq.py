"""Writes in a loop through libpq's own list of hosts; a line `port nanoseconds` for each commit."""

import socket
import sys
import threading
import time

import psycopg2

PATIENCE = 2.0


class Watchdog:
    """Hangs up when a statement takes too long, which libpq itself never does."""

    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        self.timer = threading.Timer(PATIENCE, self.bite)
        self.timer.start()

    def bite(self):
        with socket.fromfd(self.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as there:
            there.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_):
        self.timer.cancel()


connection = None
while True:
    try:
        if connection is None:
            connection = psycopg2.connect(sys.argv[1], connect_timeout=2)
            connection.autocommit = True
            cursor = connection.cursor()
        with Watchdog(connection):
            cursor.execute(sys.argv[2])
            (port,) = cursor.fetchone()
        print(port, time.time_ns(), flush=True)
        time.sleep(0.005)
    except psycopg2.Error:
        if connection is not None:
            connection.close()
        connection = None
        time.sleep(0.01)
