"""Write what arrives at UDP port 7777 to a file, a line each: hears.py FILE. For lab.sh."""
import socket
import sys

s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind(("::", 7777))
with open(sys.argv[1], "w", buffering=1) as out:
    while True:
        out.write(s.recv(2000).decode() + "\n")
