"""Stand-ins for the outside world, shipped because the demo and the tests run against them."""
