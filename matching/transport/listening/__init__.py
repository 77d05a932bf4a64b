"""Sockets that listen on TCP, and limits of what their peers can make this process hold."""
