"""What the balancer shows of itself: dashboard, JSON, Prometheus metrics, runtime API."""
