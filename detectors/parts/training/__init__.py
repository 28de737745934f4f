"""What only training needs: schedules, optimisers, loss terms, degradations, searches for rate and batch size."""
