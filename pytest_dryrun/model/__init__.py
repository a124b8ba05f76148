"""What a dry run knows and decides: values, rules, waivers, the decision. Standard library only."""
