"""Stands in for python-netfilterqueue where that is not installed (Debian does not have it): what the program of
deploy/migration.md calls of it, over libnetfilter_queue by ctypes.
"""
import ctypes
import os
import socket
import struct

LIBRARY = ctypes.CDLL("libnetfilter_queue.so.1", use_errno=True)
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
for name, result, arguments in (
        ("nfq_open", ctypes.c_void_p, []),
        ("nfq_create_queue", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_uint16, CALLBACK, ctypes.c_void_p]),
        ("nfq_set_mode", ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_uint32]),
        ("nfq_fd", ctypes.c_int, [ctypes.c_void_p]),
        ("nfq_handle_packet", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]),
        ("nfq_get_msg_packet_hdr", ctypes.c_void_p, [ctypes.c_void_p]),
        ("nfq_get_payload", ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]),
        ("nfq_set_verdict", ctypes.c_int,
         [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_char_p])):
    getattr(LIBRARY, name).restype = result
    getattr(LIBRARY, name).argtypes = arguments
COPY_PACKET, NF_DROP, NF_ACCEPT = 2, 0, 1


class Packet:
    def __init__(self, queue, data):
        self.queue, self.changed = queue, b""
        self.id, = struct.unpack(">I", ctypes.string_at(LIBRARY.nfq_get_msg_packet_hdr(data), 4))
        at = ctypes.c_void_p()
        size = LIBRARY.nfq_get_payload(data, ctypes.byref(at))
        self.payload = ctypes.string_at(at, size)

    def get_payload(self):
        return self.changed or self.payload

    def set_payload(self, payload):
        self.changed = payload

    def accept(self):
        LIBRARY.nfq_set_verdict(self.queue, self.id, NF_ACCEPT, len(self.changed), self.changed or None)

    def drop(self):
        LIBRARY.nfq_set_verdict(self.queue, self.id, NF_DROP, 0, None)


class NetfilterQueue:
    def bind(self, number, callback):
        self.handle = LIBRARY.nfq_open()
        self.callback = CALLBACK(lambda queue, message, data, mine: callback(Packet(queue, data)) or 0)
        queue = LIBRARY.nfq_create_queue(self.handle, number, self.callback, None) if self.handle else None
        if not queue or LIBRARY.nfq_set_mode(queue, COPY_PACKET, 0xffff) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def run(self):
        messages = socket.socket(fileno=LIBRARY.nfq_fd(self.handle))
        while True:
            message = messages.recv(70000)
            LIBRARY.nfq_handle_packet(self.handle, message, len(message))
