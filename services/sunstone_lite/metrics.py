"""What this process counts."""

from prometheus_client import Counter, Gauge, Histogram

from services.common.metrics import Registry
from services.sunstone_lite.watch import Watch


class Metrics:
    """The UI's metrics in a registry of their own."""

    def __init__(self, watch: Watch) -> None:
        """`watch` is asked for the zone's health at each scrape."""
        self._registry = Registry()
        make = self._registry
        self.requests: Counter = make.counter(
            "sunstone_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self.request_seconds: Histogram = make.histogram(
            "sunstone_request_seconds", "Time to answer a request.", ("route",)
        )
        self.sign_ins: Counter = make.counter("sunstone_sign_ins_total", "Sign-ins by outcome.", ("outcome",))
        reachable: Gauge = make.gauge("sunstone_oned_reachable", "Control servers that answer.")
        reachable.set_function(lambda: watch.reachable)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self._registry.render()
