"""Several drivers on one storage: leases, who is there, and what people asked of them."""
