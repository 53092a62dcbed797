"""What a service counts, in Prometheus's form."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp beside every counter, which no one asks for
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)


class Metrics:
    """The counters of one application; no label holds what a client can choose freely."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter("service_requests", "Requests answered.", ("route", "status"), registry=self.registry)
        self._errors = Counter("service_errors", "Errors of requests and of items.", ("kind",), registry=self.registry)
        self._latency = Histogram(
            "service_request_seconds",
            "From a request's headers to the last byte of its answer.",
            ("route",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._batch_size = Histogram(
            "service_batch_size",
            "Items in one call of the model.",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32),
        )
        self._labels = Counter(
            "service_answers", "Answers by what they say, to see drift.", ("label",), registry=self.registry
        )

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Report the items waiting, asked for at each scrape."""
        gauge = Gauge("service_queue_depth", "Items waiting for a worker.", registry=self.registry)
        gauge.set_function(depth)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def count_error(self, kind: str) -> None:
        """A request or an item was refused or failed."""
        self._errors.labels(kind).inc()

    def count_batch(self, size: int) -> None:
        """The model was called with this many items."""
        self._batch_size.observe(size)

    def count_answer(self, label: str) -> None:
        """An answer said this."""
        self._labels.labels(label).inc()
