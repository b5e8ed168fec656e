"""The vendor's cloud: an Open API client that spends calls sparingly and names every refusal.

Imported only where a cloud is configured, so that a daemon without one does not load aiohttp.
"""
