"""What calls cost: prices, receipts, estimates before a call, budgets, and what was spent."""
