"""Several processes, one balancer: the crew that starts and watches workers, and what it says to them."""
