"""Every part held to its oracle on the user's own machine: `paribus verify`."""
