"""The page that ``piddm view`` opens: samples, sensors and answers, in a browser on this machine.

The server's framework is an extra, so that no module here imports it at its top; nor is torch
imported before something is opened.
"""
