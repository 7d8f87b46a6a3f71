from services.common import metrics


def test_metrics_are_rendered_for_prometheus() -> None:
    registry = metrics.Registry()
    registry.counter("calls_total", "Calls.", ["method"]).labels("one.vm.info").inc()
    registry.gauge("term", "Term.").set(3)
    registry.histogram("call_seconds", "Time of a call.").observe(0.002)
    lines = registry.render().decode().splitlines()
    assert 'calls_total{method="one.vm.info"} 1.0' in lines
    assert "term 3.0" in lines
    assert 'call_seconds_bucket{le="0.001"} 0.0' in lines
    assert 'call_seconds_bucket{le="0.0025"} 1.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert metrics.CONTENT_TYPE.startswith("text/plain")


def test_registries_are_apart() -> None:
    metrics.Registry().gauge("term", "Term.")
    metrics.Registry().gauge("term", "Term.")
