# %% [markdown]
# # Tea
#
# $$p > 0$$

# %%
price = 3

# %%
price.cups
