"""Reading an nginx.conf: crossplane parses, these modules interpret, and refuse what is not supported."""
